-- The tables in PostgreSQL from version 1 to 2. The comments are in pg_schema.sql.
ALTER TABLE rackmark.snapshot ALTER COLUMN payload SET STORAGE EXTERNAL
