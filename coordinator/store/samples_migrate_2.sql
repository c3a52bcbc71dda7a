-- samples.db from version 1 to 2: the bytes of each attempt. The comments are in
-- samples_schema.sql.
CREATE TABLE chunk_bytes (
  run     INTEGER NOT NULL,
  attempt INTEGER NOT NULL,
  bytes   INTEGER NOT NULL,
  PRIMARY KEY (run, attempt)
) WITHOUT ROWID;
INSERT INTO chunk_bytes (run, attempt, bytes)
  SELECT run, attempt, sum(length(payload)) FROM chunk GROUP BY run, attempt;
CREATE TRIGGER chunk_put AFTER INSERT ON chunk BEGIN
  INSERT OR IGNORE INTO chunk_bytes (run, attempt, bytes) VALUES (new.run, new.attempt, 0);
  UPDATE chunk_bytes SET bytes = bytes + length(new.payload)
    WHERE run = new.run AND attempt = new.attempt;
END;
CREATE TRIGGER chunk_gone AFTER DELETE ON chunk BEGIN
  UPDATE chunk_bytes SET bytes = bytes - length(old.payload)
    WHERE run = old.run AND attempt = old.attempt;
  DELETE FROM chunk_bytes WHERE run = old.run AND attempt = old.attempt AND bytes <= 0;
END;
