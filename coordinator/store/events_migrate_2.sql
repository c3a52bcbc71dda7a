-- events.db from version 1 to 2: snapshots, and the tables of ended jobs. The comments are in
-- events_schema.sql.
ALTER TABLE meta ADD COLUMN history_complete INTEGER NOT NULL DEFAULT 1;
UPDATE meta SET history_complete = 0;
CREATE TABLE snapshot (
  seq     INTEGER PRIMARY KEY,
  crc32   INTEGER NOT NULL,
  payload BLOB NOT NULL
);
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
