-- events.db: what the coordinator has decided. The order of seq is the truth; everything else is
-- made of it. application_id and user_version are set by sqlite_db.cc in the same transaction.

-- One row: whose events these are. cluster_id is random, made with the file.
CREATE TABLE meta (
  cluster_id TEXT NOT NULL
);

-- payload: a serialised rackmark.v1.Event (its field `format` comes first). crc32: IEEE, of payload,
-- so that a damaged disk is told from a bug.
CREATE TABLE event (
  seq     INTEGER PRIMARY KEY,
  crc32   INTEGER NOT NULL,
  payload BLOB NOT NULL
);
