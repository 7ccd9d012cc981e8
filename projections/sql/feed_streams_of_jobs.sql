-- The streams of some jobs, as far as they are few: their own, their executions, and the due times
-- on which nothing ran.
SELECT id FROM read.jobs_1 WHERE id = ANY(%(job_streams)s)
UNION ALL
(SELECT id FROM read.executions_1 WHERE job_id = ANY(%(jobs)s) LIMIT %(limit)s)
UNION ALL
(SELECT id FROM read.passed_times_1 WHERE job_id = ANY(%(jobs)s) LIMIT %(limit)s)
LIMIT %(limit)s
