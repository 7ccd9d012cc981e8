-- The newest executions that were created at or after a moment, as charts need them.
SELECT id, job_id, status, started_at, completed_at, duration_ms, failure_reason, exit_code
FROM read.executions_1 WHERE id >= %(lowest)s ORDER BY id DESC LIMIT %(limit)s
