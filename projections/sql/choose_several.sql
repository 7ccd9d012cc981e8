-- The executions with these ids ($1).
SELECT *, xmin FROM read.executions_1 WHERE id = ANY($1::uuid[])
