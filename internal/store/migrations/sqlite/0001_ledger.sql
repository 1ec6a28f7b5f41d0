-- Ledgers: their heads, their entries in the batches they were committed in, and what exactness needs.
-- Times are microseconds since 1970, UTC. Tables of narrow rows have no rowid; those of large ones do.

CREATE TABLE head (
  ledger TEXT NOT NULL PRIMARY KEY,
  size   INTEGER NOT NULL,
  root   BLOB NOT NULL,
  edge   BLOB NOT NULL,   -- 32 bytes for each perfect subtree of size
  epoch  INTEGER NOT NULL,
  at     INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE batch (
  id      INTEGER PRIMARY KEY,
  ledger  TEXT NOT NULL,
  first   INTEGER NOT NULL,
  count   INTEGER NOT NULL CHECK (count > 0),
  at      INTEGER NOT NULL,
  entries BLOB NOT NULL
);
CREATE UNIQUE INDEX batch_first ON batch (ledger, first);
CREATE INDEX batch_at ON batch (ledger, at, first);

CREATE TABLE payload (
  id     INTEGER PRIMARY KEY,
  ledger TEXT NOT NULL,
  first  INTEGER NOT NULL,
  data   BLOB NOT NULL
);
CREATE UNIQUE INDEX payload_first ON payload (ledger, first);

CREATE TABLE node (
  ledger TEXT NOT NULL,
  level  INTEGER NOT NULL,
  idx    INTEGER NOT NULL,
  hash   BLOB NOT NULL,
  PRIMARY KEY (ledger, level, idx)
) WITHOUT ROWID;

CREATE TABLE call (
  ledger TEXT NOT NULL,
  key    BLOB NOT NULL,
  idx    INTEGER NOT NULL,
  input  BLOB NOT NULL,
  PRIMARY KEY (ledger, key)
) WITHOUT ROWID;

CREATE TABLE session (
  ledger  TEXT NOT NULL,
  id      TEXT NOT NULL,
  version INTEGER NOT NULL,
  labels  TEXT NOT NULL,   -- JSON array
  PRIMARY KEY (ledger, id)
) WITHOUT ROWID;

CREATE TABLE result (
  ledger   TEXT NOT NULL,
  decision INTEGER NOT NULL,
  idx      INTEGER NOT NULL,
  PRIMARY KEY (ledger, decision)
) WITHOUT ROWID;

CREATE TABLE change (
  ledger TEXT NOT NULL,
  epoch  INTEGER NOT NULL,
  idx    INTEGER NOT NULL,
  PRIMARY KEY (ledger, epoch)
) WITHOUT ROWID;

CREATE TABLE blob (
  digest TEXT NOT NULL PRIMARY KEY,
  data   BLOB NOT NULL
);

CREATE TABLE checkpoint (
  ledger TEXT NOT NULL,
  hour   INTEGER NOT NULL,
  size   INTEGER NOT NULL,
  at     INTEGER NOT NULL,
  note   BLOB NOT NULL,
  PRIMARY KEY (ledger, hour)
);

-- The query index and how far followers have come: derived, and free to change.
CREATE TABLE posting (
  ledger  TEXT NOT NULL,
  dim     INTEGER NOT NULL,
  value   TEXT NOT NULL,
  segment INTEGER NOT NULL,
  offsets BLOB NOT NULL,
  PRIMARY KEY (ledger, dim, value, segment)
) WITHOUT ROWID;

CREATE TABLE follower (
  ledger  TEXT NOT NULL,
  name    TEXT NOT NULL,
  through INTEGER NOT NULL,
  PRIMARY KEY (ledger, name)
) WITHOUT ROWID;

-- Append-only. Entries and what proves them are never changed; they may be removed once they are past the retention floor
-- of 365 days, which the retention schedule may lengthen and nothing may shorten.
CREATE TRIGGER head_grows BEFORE UPDATE ON head
WHEN NEW.ledger <> OLD.ledger OR NEW.size < OLD.size OR NEW.epoch < OLD.epoch OR NEW.at < OLD.at
BEGIN SELECT RAISE(ABORT, 'writ: the head of a ledger only grows'); END;
CREATE TRIGGER head_stays BEFORE DELETE ON head
BEGIN SELECT RAISE(ABORT, 'writ: the head of a ledger is never removed'); END;

CREATE TRIGGER batch_fixed BEFORE UPDATE ON batch
BEGIN SELECT RAISE(ABORT, 'writ: entries are append-only'); END;
CREATE TRIGGER batch_kept BEFORE DELETE ON batch
WHEN OLD.at > (unixepoch('now') - 365 * 86400) * 1000000
BEGIN SELECT RAISE(ABORT, 'writ: entries are kept for at least 365 days'); END;

CREATE TRIGGER payload_kept BEFORE DELETE ON payload
WHEN EXISTS (SELECT 1 FROM batch WHERE batch.ledger = OLD.ledger AND batch.first = OLD.first)
BEGIN SELECT RAISE(ABORT, 'writ: payloads are blanked, and removed only after their entries'); END;

CREATE TRIGGER node_fixed BEFORE UPDATE ON node
BEGIN SELECT RAISE(ABORT, 'writ: the tree is append-only'); END;
CREATE TRIGGER node_kept BEFORE DELETE ON node
BEGIN SELECT RAISE(ABORT, 'writ: the tree is append-only'); END;

CREATE TRIGGER result_fixed BEFORE UPDATE ON result
BEGIN SELECT RAISE(ABORT, 'writ: results are append-only'); END;
CREATE TRIGGER result_kept BEFORE DELETE ON result
BEGIN SELECT RAISE(ABORT, 'writ: results are append-only'); END;

CREATE TRIGGER change_fixed BEFORE UPDATE ON change
BEGIN SELECT RAISE(ABORT, 'writ: epochs are append-only'); END;
CREATE TRIGGER change_kept BEFORE DELETE ON change
BEGIN SELECT RAISE(ABORT, 'writ: epochs are append-only'); END;
