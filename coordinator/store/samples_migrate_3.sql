-- samples.db from version 2 to 3: who puts chunks counts their bytes; a trigger did it for each chunk.
DROP TRIGGER chunk_put;
