-- Every job that ever ran, each with its newest execution and that one's configuration: a walk from
-- job to job in executions_1_by_job, two look-ups each, whatever ran how often.
WITH RECURSIVE seen AS (
    (SELECT job_id FROM read.executions_1 ORDER BY job_id LIMIT 1)
    UNION ALL
    SELECT (SELECT e.job_id FROM read.executions_1 e
            WHERE e.job_id > seen.job_id ORDER BY e.job_id LIMIT 1)
    FROM seen WHERE seen.job_id IS NOT NULL
)
SELECT seen.job_id, newest.id, newest.status, c.body
FROM seen
CROSS JOIN LATERAL (
    SELECT id, status, configuration FROM read.executions_1 e
    WHERE e.job_id = seen.job_id ORDER BY id DESC LIMIT 1
) AS newest
LEFT JOIN store.configurations c ON c.digest = newest.configuration
LIMIT %(limit)s
