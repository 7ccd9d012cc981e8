-- Leases that ran out: those of finished executions are dropped, the others are marked lost, after
-- which no heartbeat revives them. The event follows.
WITH expired AS MATERIALIZED (
    SELECT l.execution_id,
           EXISTS (SELECT 1 FROM ledger.events e
                   WHERE e.stream_id = l.execution_id AND e.version > 2
                     AND e.type IN ('execution.completed', 'execution.timed_out',
                                    'execution.canceled')) AS finished
    FROM store.leases l
    WHERE l.lost_at IS NULL AND l.expires_at < clock_timestamp()
    ORDER BY l.expires_at LIMIT 5000
), dropped AS (
    DELETE FROM store.leases l USING expired x
    WHERE l.execution_id = x.execution_id AND x.finished AND l.expires_at < clock_timestamp()
)
UPDATE store.leases l SET lost_at = clock_timestamp()
FROM expired x
WHERE l.execution_id = x.execution_id AND NOT x.finished
  AND l.lost_at IS NULL AND l.expires_at < clock_timestamp()
