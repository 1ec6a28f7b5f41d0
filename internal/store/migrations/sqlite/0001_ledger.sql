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
  entries BLOB NOT NULL,
  calls   BLOB NOT NULL    -- of the entries: what the table call will have, written there later in larger pieces
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
) WITHOUT ROWID;

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
--
-- REPLACE deletes without firing a trigger of deletion, so what must not be replaced has a trigger of insertion too.
CREATE TRIGGER head_new BEFORE INSERT ON head
WHEN EXISTS (SELECT 1 FROM head WHERE ledger = NEW.ledger)
BEGIN SELECT RAISE(ABORT, 'writ: the head of a ledger is never replaced'); END;
CREATE TRIGGER head_grows BEFORE UPDATE ON head
WHEN NEW.ledger <> OLD.ledger OR NEW.size < OLD.size OR NEW.epoch < OLD.epoch OR NEW.at < OLD.at
BEGIN SELECT RAISE(ABORT, 'writ: the head of a ledger only grows'); END;
CREATE TRIGGER head_stays BEFORE DELETE ON head
BEGIN SELECT RAISE(ABORT, 'writ: the head of a ledger is never removed'); END;

-- Entries come after the head, which moves after them.
CREATE TRIGGER batch_new BEFORE INSERT ON batch
WHEN NEW.first < (SELECT size FROM head WHERE ledger = NEW.ledger) OR EXISTS (SELECT 1 FROM batch WHERE id = NEW.id)
BEGIN SELECT RAISE(ABORT, 'writ: entries are append-only'); END;
CREATE TRIGGER batch_fixed BEFORE UPDATE ON batch
BEGIN SELECT RAISE(ABORT, 'writ: entries are append-only'); END;
CREATE TRIGGER batch_kept BEFORE DELETE ON batch
WHEN OLD.at > (unixepoch('now') - 365 * 86400) * 1000000
BEGIN SELECT RAISE(ABORT, 'writ: entries are kept for at least 365 days'); END;

-- A payload may lose bytes, and may go when its entries are gone.
CREATE TRIGGER payload_new BEFORE INSERT ON payload
WHEN NEW.first < (SELECT size FROM head WHERE ledger = NEW.ledger) OR EXISTS (SELECT 1 FROM payload WHERE id = NEW.id)
BEGIN SELECT RAISE(ABORT, 'writ: payloads come with their entries'); END;
CREATE TRIGGER payload_shrinks BEFORE UPDATE ON payload
WHEN NEW.id <> OLD.id OR NEW.ledger <> OLD.ledger OR NEW.first <> OLD.first OR length(NEW.data) > length(OLD.data)
BEGIN SELECT RAISE(ABORT, 'writ: payloads are only blanked'); END;
CREATE TRIGGER payload_kept BEFORE DELETE ON payload
WHEN EXISTS (SELECT 1 FROM batch WHERE batch.ledger = OLD.ledger AND batch.first = OLD.first)
BEGIN SELECT RAISE(ABORT, 'writ: payloads are blanked, and removed only after their entries'); END;

CREATE TRIGGER node_new BEFORE INSERT ON node
WHEN EXISTS (SELECT 1 FROM node WHERE ledger = NEW.ledger AND level = NEW.level AND idx = NEW.idx)
BEGIN SELECT RAISE(ABORT, 'writ: the tree is append-only'); END;
CREATE TRIGGER node_fixed BEFORE UPDATE ON node
BEGIN SELECT RAISE(ABORT, 'writ: the tree is append-only'); END;
CREATE TRIGGER node_kept BEFORE DELETE ON node
BEGIN SELECT RAISE(ABORT, 'writ: the tree is append-only'); END;

CREATE TRIGGER result_new BEFORE INSERT ON result
WHEN EXISTS (SELECT 1 FROM result WHERE ledger = NEW.ledger AND decision = NEW.decision)
BEGIN SELECT RAISE(ABORT, 'writ: results are append-only'); END;
CREATE TRIGGER result_fixed BEFORE UPDATE ON result
BEGIN SELECT RAISE(ABORT, 'writ: results are append-only'); END;
CREATE TRIGGER result_kept BEFORE DELETE ON result
BEGIN SELECT RAISE(ABORT, 'writ: results are append-only'); END;

CREATE TRIGGER change_new BEFORE INSERT ON change
WHEN EXISTS (SELECT 1 FROM change WHERE ledger = NEW.ledger AND epoch = NEW.epoch)
BEGIN SELECT RAISE(ABORT, 'writ: epochs are append-only'); END;
CREATE TRIGGER change_fixed BEFORE UPDATE ON change
BEGIN SELECT RAISE(ABORT, 'writ: epochs are append-only'); END;
CREATE TRIGGER change_kept BEFORE DELETE ON change
BEGIN SELECT RAISE(ABORT, 'writ: epochs are append-only'); END;

-- Content that is there already is left as it is.
CREATE TRIGGER blob_new BEFORE INSERT ON blob
WHEN EXISTS (SELECT 1 FROM blob WHERE digest = NEW.digest OR rowid = NEW.rowid)
BEGIN SELECT RAISE(IGNORE); END;
CREATE TRIGGER blob_fixed BEFORE UPDATE ON blob
BEGIN SELECT RAISE(ABORT, 'writ: bundles are kept as they were'); END;
CREATE TRIGGER blob_kept BEFORE DELETE ON blob
BEGIN SELECT RAISE(ABORT, 'writ: bundles are kept as they were'); END;

-- A checkpoint gives way to a larger one of its hour, or to itself with more cosignatures.
CREATE TRIGGER checkpoint_new BEFORE INSERT ON checkpoint
WHEN NEW.size < (SELECT size FROM checkpoint WHERE ledger = NEW.ledger AND hour = NEW.hour)
BEGIN SELECT RAISE(ABORT, 'writ: a checkpoint never shrinks'); END;
CREATE TRIGGER checkpoint_grows BEFORE UPDATE ON checkpoint
WHEN NEW.ledger <> OLD.ledger OR NEW.hour <> OLD.hour OR NEW.size < OLD.size
BEGIN SELECT RAISE(ABORT, 'writ: a checkpoint never shrinks'); END;
CREATE TRIGGER checkpoint_kept BEFORE DELETE ON checkpoint
BEGIN SELECT RAISE(ABORT, 'writ: checkpoints are kept'); END;
