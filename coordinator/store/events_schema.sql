-- events.db: what the coordinator has decided. The order of seq is the truth; everything else is
-- made of it. application_id and user_version (2) are set by sqlite_db.cc in the same transaction.

-- One row: whose events these are. cluster_id is random, made with the file. history_complete: 0 in
-- a file of version 1 whose jobs that ended before have no rows yet.
CREATE TABLE meta (
  cluster_id TEXT NOT NULL,
  history_complete INTEGER NOT NULL DEFAULT 1
);

-- payload: a serialised rackmark.v1.Event (its field `format` comes first). crc32: IEEE, of payload,
-- so that a damaged disk is told from a bug. The oldest go when two snapshots are newer.
CREATE TABLE event (
  seq     INTEGER PRIMARY KEY,
  crc32   INTEGER NOT NULL,
  payload BLOB NOT NULL
);

-- State after event seq: a serialised rackmark.v1.Snapshot. The newest two are kept.
CREATE TABLE snapshot (
  seq     INTEGER PRIMARY KEY,
  crc32   INTEGER NOT NULL,
  payload BLOB NOT NULL
);

-- Ended jobs and their runs, written with the event that ended the job. payload: rackmark.v1.JobRecord
-- without runs and source, rackmark.v1.RunRecord. `source` stands last, so that a list does not read
-- it. The runs are first_run .. first_run + runs - 1.
CREATE TABLE job (
  id            INTEGER PRIMARY KEY,
  ended_unix_ns INTEGER NOT NULL,
  first_run     INTEGER NOT NULL,
  runs          INTEGER NOT NULL,
  crc32         INTEGER NOT NULL,
  payload       BLOB NOT NULL,
  source        TEXT NOT NULL
);
CREATE INDEX job_by_end ON job (ended_unix_ns);
CREATE TABLE run (
  id      INTEGER PRIMARY KEY,
  job     INTEGER NOT NULL,
  crc32   INTEGER NOT NULL,
  payload BLOB NOT NULL
);
