-- How far each version of each read model has come.
SELECT name, version, position FROM read.projections
