-- Ledgers: their heads, their entries in the batches they were committed in, and what exactness needs.
-- Times are microseconds since 1970, UTC. Every key begins with the ledger. Names compare by byte, as everywhere else.

CREATE TABLE head (
  ledger text COLLATE "C" PRIMARY KEY,
  size   bigint NOT NULL,
  root   bytea NOT NULL,
  edge   bytea NOT NULL,   -- 32 bytes for each perfect subtree of size
  epoch  bigint NOT NULL,
  at     bigint NOT NULL
) WITH (fillfactor = 50);  -- one row that is always updated: leave it room for heap-only updates

CREATE TABLE batch (
  ledger  text COLLATE "C" NOT NULL,
  first   bigint NOT NULL,
  count   bigint NOT NULL CHECK (count > 0),
  at      bigint NOT NULL,
  entries bytea NOT NULL,
  PRIMARY KEY (ledger, first)
);
CREATE INDEX batch_at ON batch (ledger, at, first);

CREATE TABLE payload (
  ledger text COLLATE "C" NOT NULL,
  first  bigint NOT NULL,
  data   bytea NOT NULL,
  PRIMARY KEY (ledger, first)
);

-- EXTERNAL keeps large values out of line and as they are. The default would compress every batch while the head is locked
-- (pglz: some 50 µs for 10 KB), which every writer of the ledger waits for; and a batch read back would be unpacked whole.
ALTER TABLE batch ALTER COLUMN entries SET STORAGE EXTERNAL;
ALTER TABLE payload ALTER COLUMN data SET STORAGE EXTERNAL;

CREATE TABLE node (
  ledger text COLLATE "C" NOT NULL,
  level  bigint NOT NULL,
  idx    bigint NOT NULL,
  hash   bytea NOT NULL,
  PRIMARY KEY (ledger, level, idx)
);

CREATE TABLE call (
  ledger text COLLATE "C" NOT NULL,
  key    bytea NOT NULL,
  idx    bigint NOT NULL,
  input  bytea NOT NULL,
  PRIMARY KEY (ledger, key)
);

CREATE TABLE session (
  ledger  text COLLATE "C" NOT NULL,
  id      text COLLATE "C" NOT NULL,
  version bigint NOT NULL,
  labels  text NOT NULL,   -- JSON array
  PRIMARY KEY (ledger, id)
);

CREATE TABLE result (
  ledger   text COLLATE "C" NOT NULL,
  decision bigint NOT NULL,
  idx      bigint NOT NULL,
  PRIMARY KEY (ledger, decision)
);

CREATE TABLE change (
  ledger text COLLATE "C" NOT NULL,
  epoch  bigint NOT NULL,
  idx    bigint NOT NULL,
  PRIMARY KEY (ledger, epoch)
);

CREATE TABLE blob (
  digest text COLLATE "C" PRIMARY KEY,
  data   bytea NOT NULL
);

CREATE TABLE checkpoint (
  ledger text COLLATE "C" NOT NULL,
  hour   bigint NOT NULL,
  size   bigint NOT NULL,
  at     bigint NOT NULL,
  note   bytea NOT NULL,
  PRIMARY KEY (ledger, hour)
);

-- The query index and how far followers have come: derived, and free to change.
CREATE TABLE posting (
  ledger  text COLLATE "C" NOT NULL,
  dim     bigint NOT NULL,
  value   text COLLATE "C" NOT NULL,
  segment bigint NOT NULL,
  offsets bytea NOT NULL,
  PRIMARY KEY (ledger, dim, value, segment)
);

CREATE TABLE follower (
  ledger  text COLLATE "C" NOT NULL,
  name    text COLLATE "C" NOT NULL,
  through bigint NOT NULL,
  PRIMARY KEY (ledger, name)
);

-- Append-only. Entries and what proves them are never changed; they may be removed once they are past the retention floor
-- of 365 days, which the retention schedule may lengthen and nothing may shorten.
CREATE FUNCTION writ_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'writ: % is append-only', TG_TABLE_NAME;
END $$;

CREATE FUNCTION writ_head_grows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.ledger <> OLD.ledger OR NEW.size < OLD.size OR NEW.epoch < OLD.epoch OR NEW.at < OLD.at THEN
    RAISE EXCEPTION 'writ: the head of a ledger only grows';
  END IF;
  RETURN NEW;
END $$;

CREATE FUNCTION writ_batch_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF OLD.at > (extract(epoch FROM now()) - 365 * 86400) * 1000000 THEN
    RAISE EXCEPTION 'writ: entries are kept for at least 365 days';
  END IF;
  RETURN OLD;
END $$;

CREATE FUNCTION writ_payload_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT 1 FROM batch WHERE batch.ledger = OLD.ledger AND batch.first = OLD.first) THEN
    RAISE EXCEPTION 'writ: payloads are blanked, and removed only after their entries';
  END IF;
  RETURN OLD;
END $$;

CREATE FUNCTION writ_payload_shrinks() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.ledger <> OLD.ledger OR NEW.first <> OLD.first OR octet_length(NEW.data) > octet_length(OLD.data) THEN
    RAISE EXCEPTION 'writ: payloads are only blanked';
  END IF;
  RETURN NEW;
END $$;

CREATE FUNCTION writ_checkpoint_grows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.ledger <> OLD.ledger OR NEW.hour <> OLD.hour OR NEW.size < OLD.size THEN
    RAISE EXCEPTION 'writ: a checkpoint never shrinks';
  END IF;
  RETURN NEW;
END $$;

CREATE TRIGGER head_grows BEFORE UPDATE ON head FOR EACH ROW EXECUTE FUNCTION writ_head_grows();
CREATE TRIGGER head_stays BEFORE DELETE ON head FOR EACH ROW EXECUTE FUNCTION writ_refuse();
CREATE TRIGGER head_whole BEFORE TRUNCATE ON head EXECUTE FUNCTION writ_refuse();
CREATE TRIGGER batch_fixed BEFORE UPDATE ON batch FOR EACH ROW EXECUTE FUNCTION writ_refuse();
CREATE TRIGGER batch_kept BEFORE DELETE ON batch FOR EACH ROW EXECUTE FUNCTION writ_batch_kept();
CREATE TRIGGER batch_whole BEFORE TRUNCATE ON batch EXECUTE FUNCTION writ_refuse();
CREATE TRIGGER payload_shrinks BEFORE UPDATE ON payload FOR EACH ROW EXECUTE FUNCTION writ_payload_shrinks();
CREATE TRIGGER payload_kept BEFORE DELETE ON payload FOR EACH ROW EXECUTE FUNCTION writ_payload_kept();
CREATE TRIGGER payload_whole BEFORE TRUNCATE ON payload EXECUTE FUNCTION writ_refuse();
CREATE TRIGGER node_fixed BEFORE UPDATE OR DELETE ON node FOR EACH ROW EXECUTE FUNCTION writ_refuse();
CREATE TRIGGER node_whole BEFORE TRUNCATE ON node EXECUTE FUNCTION writ_refuse();
CREATE TRIGGER result_fixed BEFORE UPDATE OR DELETE ON result FOR EACH ROW EXECUTE FUNCTION writ_refuse();
CREATE TRIGGER result_whole BEFORE TRUNCATE ON result EXECUTE FUNCTION writ_refuse();
CREATE TRIGGER change_fixed BEFORE UPDATE OR DELETE ON change FOR EACH ROW EXECUTE FUNCTION writ_refuse();
CREATE TRIGGER change_whole BEFORE TRUNCATE ON change EXECUTE FUNCTION writ_refuse();
CREATE TRIGGER blob_fixed BEFORE UPDATE OR DELETE ON blob FOR EACH ROW EXECUTE FUNCTION writ_refuse();
CREATE TRIGGER blob_whole BEFORE TRUNCATE ON blob EXECUTE FUNCTION writ_refuse();
CREATE TRIGGER checkpoint_grows BEFORE UPDATE ON checkpoint FOR EACH ROW EXECUTE FUNCTION writ_checkpoint_grows();
CREATE TRIGGER checkpoint_kept BEFORE DELETE ON checkpoint FOR EACH ROW EXECUTE FUNCTION writ_refuse();
CREATE TRIGGER checkpoint_whole BEFORE TRUNCATE ON checkpoint EXECUTE FUNCTION writ_refuse();

-- By grant too: an owner can take its own privileges away, so the role that Writ signs in as has no way to change an entry.
-- (A superuser is not bound by grants: do not run Writ as one.)
REVOKE UPDATE, DELETE, TRUNCATE ON batch, node, result, change, blob FROM PUBLIC, CURRENT_USER;
REVOKE DELETE, TRUNCATE ON head, payload, checkpoint FROM PUBLIC, CURRENT_USER;
