-- The tables of rackmark in PostgreSQL, in a schema of their own. What the rows mean is said in
-- events_schema.sql and samples_schema.sql, which this follows but for the leader.

-- One row. version: of all that follows. cluster_id: random, made with the tables.
CREATE TABLE rackmark.meta (
  one        boolean PRIMARY KEY DEFAULT true CHECK (one),
  version    bigint NOT NULL,
  cluster_id text   NOT NULL
);

-- One row: who may write. `term` grows with each taking of the lead. It is unique, so that changing
-- it excludes every transaction that has locked the row FOR KEY SHARE, while renewing `expires` (by
-- this server's clock) excludes none of them. A version of rackmark that is older or newer must find
-- this table as it is.
CREATE TABLE rackmark.leader (
  one     boolean PRIMARY KEY DEFAULT true CHECK (one),
  term    bigint NOT NULL UNIQUE,
  address text   NOT NULL,
  expires timestamptz NOT NULL
) WITH (fillfactor = 50);
INSERT INTO rackmark.leader (term, address, expires) VALUES (0, '', '-infinity');

-- The first statement of every transaction that writes.
CREATE FUNCTION rackmark.fence(mine bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  PERFORM 1 FROM rackmark.leader WHERE term = mine FOR KEY SHARE;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'another coordinator has taken the lead: term % is over', mine
      USING ERRCODE = 'RM001';
  END IF;
END $$;

CREATE TABLE rackmark.event (
  seq     bigint PRIMARY KEY,
  crc32   bigint NOT NULL,
  payload bytea  NOT NULL
);
CREATE TABLE rackmark.snapshot (
  seq     bigint PRIMARY KEY,
  crc32   bigint NOT NULL,
  payload bytea  NOT NULL
);
-- It may have hundreds of MiB: packing it took the time that writing it has.
ALTER TABLE rackmark.snapshot ALTER COLUMN payload SET STORAGE EXTERNAL;
CREATE TABLE rackmark.job (
  id            bigint PRIMARY KEY,
  ended_unix_ns bigint NOT NULL,
  first_run     bigint NOT NULL,
  runs          bigint NOT NULL,
  crc32         bigint NOT NULL,
  payload       bytea  NOT NULL,
  source        bytea  NOT NULL
);
CREATE INDEX job_by_end ON rackmark.job (ended_unix_ns);
CREATE TABLE rackmark.run (
  id      bigint PRIMARY KEY,
  job     bigint NOT NULL,
  crc32   bigint NOT NULL,
  payload bytea  NOT NULL
);

CREATE TABLE rackmark.chunk (
  run     bigint NOT NULL,
  attempt bigint NOT NULL,
  kind    bigint NOT NULL,
  stream  bigint NOT NULL,
  seq     bigint NOT NULL,
  payload bytea  NOT NULL,
  PRIMARY KEY (run, attempt, kind, stream, seq)
);
-- It is packed already.
ALTER TABLE rackmark.chunk ALTER COLUMN payload SET STORAGE EXTERNAL;
-- Sums of the payloads' bytes, changed in the transactions of their rows: to ask must not cost more
-- the more there is. A row per attempt that has chunks, and one for all chunks and reports.
CREATE TABLE rackmark.chunk_bytes (
  run     bigint NOT NULL,
  attempt bigint NOT NULL,
  bytes   bigint NOT NULL,
  PRIMARY KEY (run, attempt)
) WITH (fillfactor = 50);
CREATE TABLE rackmark.used_bytes (
  one   boolean PRIMARY KEY DEFAULT true CHECK (one),
  bytes bigint NOT NULL
) WITH (fillfactor = 50);
INSERT INTO rackmark.used_bytes (bytes) VALUES (0);
CREATE TABLE rackmark.watermark (
  run     bigint NOT NULL,
  attempt bigint NOT NULL,
  kind    bigint NOT NULL,
  stream  bigint NOT NULL,
  seq     bigint NOT NULL,
  PRIMARY KEY (run, attempt, kind, stream)
);
CREATE TABLE rackmark.report (
  run     bigint PRIMARY KEY,
  payload bytea  NOT NULL
);
