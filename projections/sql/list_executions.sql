-- Executions with their texts, newest first. The place in braces is filled with a statement of
-- fixed text that chooses them and gives their rows; every value is a parameter.
SELECT e.id, e.position, e.version, e.attempt, e.status, e.triggered_by, e.job_id,
       encode(e.configuration, 'hex'), e.root_id, e.retry_of, e.retried_as, e.scheduled_for,
       e.started_at, e.cancel_requested_at, e.completed_at, e.duration_ms, e.timeout_seconds,
       e.start_deadline_seconds, e.exit_code, e.signal, e.failure_reason, e.observed_by,
       e.agent_id, e.pinned_agent_id, e.labels, e.masked,
       e.stdout_kept_bytes, e.stderr_kept_bytes, e.late_outcome, e.late_exit_code,
       e.late_reported_at, e.held,
       c.body, m.body,
       o.preview, o.next_offset, o.kept_bytes, o.omitted_from, o.omitted_to, o.salt, o.erased_at,
       x.preview, x.next_offset, x.kept_bytes, x.omitted_from, x.omitted_to, x.salt, x.erased_at,
       e.xmin, c.xmin, array_remove(ARRAY[o.xmin, x.xmin], NULL)
FROM (
    {chosen}
) AS e
LEFT JOIN store.configurations c ON c.digest = e.configuration
LEFT JOIN store.outputs o ON o.execution_id = e.id AND o.stream = 1
LEFT JOIN store.outputs x ON x.execution_id = e.id AND x.stream = 2
LEFT JOIN LATERAL (
    -- Of an end that the server observed there is none; a later one belongs to the late outcome.
    SELECT body FROM store.messages
    WHERE execution_id = e.id AND e.observed_by = 'agent' AND e.status IN ('failed', 'timeout')
    ORDER BY version LIMIT 1
) AS m ON true
ORDER BY e.id DESC
