-- The newest executions of some jobs, as charts need them: no texts are read.
SELECT run.id, run.job_id, run.status, run.started_at, run.completed_at, run.duration_ms,
       run.failure_reason, run.exit_code
FROM unnest(%(jobs)s::text[]) AS asked (job_id)
CROSS JOIN LATERAL (
    SELECT * FROM read.executions_1 e
    WHERE e.job_id = asked.job_id ORDER BY id DESC LIMIT %(per_job)s
) AS run
