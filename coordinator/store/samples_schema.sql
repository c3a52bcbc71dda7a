-- samples.db: what was measured. Never attached to events.db, because a commit over two WAL files
-- is not atomic.

-- One row: the cluster whose samples these are; must equal that of events.db.
CREATE TABLE meta (
  cluster_id TEXT NOT NULL
);

-- One row per chunk, as it came: a serialised rackmark.v1.Chunk, packed and with its own checksum.
CREATE TABLE chunk (
  run     INTEGER NOT NULL,
  attempt INTEGER NOT NULL,
  kind    INTEGER NOT NULL,   -- rackmark.v1.StreamKind
  stream  INTEGER NOT NULL,
  seq     INTEGER NOT NULL,
  payload BLOB NOT NULL,
  UNIQUE (run, attempt, kind, stream, seq)
);

-- The payloads' bytes of each attempt that has chunks: to ask must not cost more the more there is.
-- Whoever puts chunks adds theirs in the same transaction, once for all; a trigger takes off what
-- goes, whoever drops it.
CREATE TABLE chunk_bytes (
  run     INTEGER NOT NULL,
  attempt INTEGER NOT NULL,
  bytes   INTEGER NOT NULL,
  PRIMARY KEY (run, attempt)
) WITHOUT ROWID;
CREATE TRIGGER chunk_gone AFTER DELETE ON chunk BEGIN
  UPDATE chunk_bytes SET bytes = bytes - length(old.payload)
    WHERE run = old.run AND attempt = old.attempt;
  DELETE FROM chunk_bytes WHERE run = old.run AND attempt = old.attempt AND bytes <= 0;
END;

-- How far each stream is here without a gap. Changes in the transaction of its chunks.
CREATE TABLE watermark (
  run     INTEGER NOT NULL,
  attempt INTEGER NOT NULL,
  kind    INTEGER NOT NULL,
  stream  INTEGER NOT NULL,
  seq     INTEGER NOT NULL,
  PRIMARY KEY (run, attempt, kind, stream)
) WITHOUT ROWID;

-- A serialised rackmark.v1.RunSummary. Can be made again from the chunks, to the same bytes.
CREATE TABLE report (
  run     INTEGER PRIMARY KEY,
  payload BLOB NOT NULL
);
