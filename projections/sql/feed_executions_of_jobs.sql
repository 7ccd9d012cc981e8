-- The executions of some jobs, as far as they are few.
SELECT id FROM read.executions_1 WHERE job_id = ANY(%(jobs)s) LIMIT %(limit)s
