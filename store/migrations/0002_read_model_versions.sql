-- Several versions of a read model side by side, each with its own tables and its own position; and
-- the place where a rebuild fills tables before it swaps them in. Only the owner sees that.

ALTER TABLE read.projections DROP CONSTRAINT projections_pkey;
ALTER TABLE read.projections ADD PRIMARY KEY (name, version);

CREATE SCHEMA shadow;
