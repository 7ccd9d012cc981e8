-- How many executions `matching` finds, counted no further than $1; $2 is nothing.
SELECT count(*) FROM (
    SELECT 1 FROM ({matching}) AS matched LIMIT $1::bigint
) AS counted
