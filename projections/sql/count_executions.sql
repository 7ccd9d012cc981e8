-- How many executions match, counted no further than a bound.
SELECT count(*) FROM (
    SELECT 1 FROM read.executions_1 {conditions} LIMIT %(count_max)s
) AS counted
