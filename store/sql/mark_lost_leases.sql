-- Leases that ran out. Those whose agent has reported the end are dropped; the others are marked
-- lost, after which no heartbeat revives them, but their agent may still report. If the server has
-- given up already (timeout, cancel), its event is there; else the event follows. Past
-- %(trusted_until)s it was the server that was away, and no agent is held for lost.
WITH expired AS MATERIALIZED (
    SELECT l.execution_id,
           coalesce(bool_or(e.type = 'execution.outcome_reported_late'
                            OR NOT starts_with(e.actor, 'server:')), false) AS reported,
           count(e.type) > 0 AS ended
    FROM (
        SELECT execution_id FROM store.leases
        WHERE NOT given_up AND lost_at IS NULL AND expires_at < clock_timestamp()
          AND clock_timestamp() < %(trusted_until)s
        ORDER BY expires_at LIMIT 5000
    ) AS l
    LEFT JOIN ledger.events e
        ON e.stream_id = l.execution_id AND e.version > 2
        AND e.type IN ('execution.completed', 'execution.timed_out', 'execution.canceled',
                       'execution.lost', 'execution.outcome_reported_late')
    GROUP BY l.execution_id
), dropped AS (
    DELETE FROM store.leases l USING expired x
    WHERE l.execution_id = x.execution_id AND x.reported AND l.expires_at < clock_timestamp()
)
UPDATE store.leases l SET lost_at = clock_timestamp(), given_up = x.ended
FROM expired x
WHERE l.execution_id = x.execution_id AND NOT x.reported
  AND l.lost_at IS NULL AND l.expires_at < clock_timestamp()
  AND clock_timestamp() < %(trusted_until)s
