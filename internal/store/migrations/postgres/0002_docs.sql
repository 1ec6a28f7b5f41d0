-- The present state of what people work on. Its history is the entries about it.
CREATE TABLE doc (
  ledger  text COLLATE "C" NOT NULL,
  kind    text COLLATE "C" NOT NULL,
  id      text COLLATE "C" NOT NULL,
  version bigint NOT NULL,  -- the index of the entry that wrote it last, plus one
  opened  bigint NOT NULL,  -- the index of the entry that wrote it first
  state   text COLLATE "C" NOT NULL,
  due     bigint NOT NULL,  -- microseconds since 1970; 0: never
  data    bytea NOT NULL,
  PRIMARY KEY (ledger, kind, id)
);
CREATE INDEX doc_opened ON doc (ledger, kind, opened);
CREATE INDEX doc_state ON doc (ledger, kind, state, opened);
CREATE INDEX doc_due ON doc (ledger, kind, due) WHERE due > 0;

-- A document changes only with a new entry.
CREATE FUNCTION writ_doc_moves() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.version <= OLD.version OR NEW.opened <> OLD.opened THEN
    RAISE EXCEPTION 'writ: a document changes only with a new entry';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER doc_moves BEFORE UPDATE ON doc FOR EACH ROW EXECUTE FUNCTION writ_doc_moves();
CREATE TRIGGER doc_kept BEFORE DELETE ON doc FOR EACH ROW EXECUTE FUNCTION writ_refuse();
CREATE TRIGGER doc_whole BEFORE TRUNCATE ON doc EXECUTE FUNCTION writ_refuse();
REVOKE DELETE, TRUNCATE ON doc FROM PUBLIC, CURRENT_USER;
