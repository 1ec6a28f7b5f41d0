-- The present state of what people work on. Its history is the entries about it.
CREATE TABLE doc (
  ledger  TEXT NOT NULL,
  kind    TEXT NOT NULL,
  id      TEXT NOT NULL,
  version INTEGER NOT NULL,  -- the index of the entry that wrote it last, plus one
  opened  INTEGER NOT NULL,  -- the index of the entry that wrote it first
  state   TEXT NOT NULL,
  due     INTEGER NOT NULL,  -- microseconds since 1970; 0: never
  data    BLOB NOT NULL,
  PRIMARY KEY (ledger, kind, id)
) WITHOUT ROWID;
CREATE INDEX doc_opened ON doc (ledger, kind, opened);
CREATE INDEX doc_state ON doc (ledger, kind, state, opened);
CREATE INDEX doc_due ON doc (ledger, kind, due) WHERE due > 0;

-- A document changes only with a new entry.
CREATE TRIGGER doc_moves BEFORE UPDATE ON doc
WHEN NEW.version <= OLD.version OR NEW.opened <> OLD.opened
BEGIN SELECT RAISE(ABORT, 'writ: a document changes only with a new entry'); END;
CREATE TRIGGER doc_kept BEFORE DELETE ON doc
BEGIN SELECT RAISE(ABORT, 'writ: documents are kept'); END;
