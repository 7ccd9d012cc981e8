-- Jobs that have named a schedule, each with its newest execution and that one's configuration. One
-- look-up a job in executions_1_by_job, whatever else has run.
SELECT j.job_id, j.since, newest.id, newest.status, c.body
FROM store.expected_jobs j
CROSS JOIN LATERAL (
    SELECT id, status, configuration FROM read.executions_1 e
    WHERE e.job_id = j.job_id ORDER BY id DESC LIMIT 1
) AS newest
JOIN store.configurations c ON c.digest = newest.configuration
ORDER BY j.job_id
