-- Leases that are not those of the claims, running executions without one, cancels without a deadline.
-- The fence of a claim is the command that it was, so it is asked of the log.
SELECT l.execution_id::text, 'its lease is not that of its claim'
FROM store.leases l
LEFT JOIN ledger.events s ON s.stream_id = l.execution_id AND s.type = 'execution.started'
WHERE s.command_id IS DISTINCT FROM l.fence
UNION ALL
SELECT l.execution_id::text, 'its lease is held by ' || l.agent_id || ', and it was claimed by '
       || coalesce(e.agent_id, 'nobody')
FROM store.leases l
LEFT JOIN read.executions_1 e ON e.id = l.execution_id
WHERE e.agent_id IS DISTINCT FROM l.agent_id
UNION ALL
SELECT e.id::text, CASE
    WHEN l.execution_id IS NULL THEN 'runs without a lease'
    ELSE 'its deadline does not fit its timeout' END
FROM read.executions_1 e
LEFT JOIN store.leases l ON l.execution_id = e.id
WHERE e.status = 'running'
  AND (l.execution_id IS NULL OR (l.deadline_at IS NULL) <> (e.timeout_seconds IS NULL))
UNION ALL
SELECT e.id::text, 'is being canceled without a deadline'
FROM read.executions_1 e
LEFT JOIN store.cancels c ON c.execution_id = e.id
WHERE e.status = 'running' AND e.cancel_requested_at IS NOT NULL AND c.execution_id IS NULL
