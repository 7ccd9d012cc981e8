-- How many executions have the same configuration as one, counted no further than a bound. Equal
-- configurations name the same job, so that its executions are all that need be looked at.
SELECT count(*) FROM (
    SELECT 1 FROM read.executions_1
    WHERE job_id = %(job_id)s AND configuration = decode(%(digest)s, 'hex') AND id <> %(id)s
    LIMIT %(count_max)s
) AS counted
