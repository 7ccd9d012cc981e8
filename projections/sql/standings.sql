-- How the executions with these ids ($1) stand, with the configuration and what is stored of their output.
SELECT e.id, e.status, e.agent_id, e.started_at, e.cancel_requested_at, e.completed_at,
       e.observed_by, e.late_outcome, e.stdout_kept_bytes, e.stderr_kept_bytes,
       c.body,
       o.preview, o.next_offset, o.kept_bytes, o.omitted_from, o.omitted_to, o.salt, o.erased_at,
       x.preview, x.next_offset, x.kept_bytes, x.omitted_from, x.omitted_to, x.salt, x.erased_at
FROM read.executions_1 e
LEFT JOIN store.configurations c ON c.digest = e.configuration
LEFT JOIN store.outputs o ON o.execution_id = e.id AND o.stream = 1
LEFT JOIN store.outputs x ON x.execution_id = e.id AND x.stream = 2
WHERE e.id = ANY($1::uuid[])
