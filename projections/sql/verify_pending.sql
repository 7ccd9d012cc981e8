-- The queue that agents claim from, against the executions that are pending.
SELECT coalesce(e.id, p.execution_id)::text, CASE
    WHEN p.execution_id IS NULL THEN 'is pending, and not in the queue'
    WHEN e.id IS NULL THEN 'is in the queue, and not pending'
    ELSE 'is queued with another pin, configuration, labels or start deadline' END
FROM (SELECT * FROM read.executions_1 WHERE status = 'pending' AND held IS NULL) AS e
FULL JOIN store.pending p ON p.execution_id = e.id
WHERE e.id IS NULL OR p.execution_id IS NULL
   OR e.pinned_agent_id IS DISTINCT FROM p.pinned_agent_id
   OR e.configuration <> p.configuration
   OR e.labels IS DISTINCT FROM p.labels
   OR (e.start_deadline_seconds IS NULL) <> (p.start_by IS NULL)
UNION ALL
-- What is held, against the executions that say so.
SELECT coalesce(e.id, h.execution_id)::text, CASE
    WHEN h.execution_id IS NULL THEN 'is held, and nobody knows of it'
    WHEN e.id IS NULL THEN 'is kept as held, and is not'
    ELSE 'is held with another start deadline' END
FROM (SELECT * FROM read.executions_1 WHERE status = 'pending' AND held IS NOT NULL) AS e
FULL JOIN store.held h ON h.execution_id = e.id
WHERE e.id IS NULL OR h.execution_id IS NULL
   OR (e.start_deadline_seconds IS NULL) <> (h.start_by IS NULL)
