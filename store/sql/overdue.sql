-- Whom the server gives up on: leases that are marked lost, deadlines and cancels that are past, of
-- executions that have started and not ended. Cancels of ended ones are dropped on the way, and
-- lost leases whose event is there are not looked at again. Past %(trusted_until)s it was the server
-- that was away, and no deadline is held to be past.
WITH ended AS (
    DELETE FROM store.cancels d
    WHERE d.due_at < clock_timestamp()
      AND EXISTS (SELECT 1 FROM ledger.events e
                  WHERE e.stream_id = d.execution_id AND e.version > 2
                    AND e.type IN ('execution.completed', 'execution.timed_out',
                                   'execution.canceled', 'execution.lost'))
), settled AS (
    UPDATE store.leases l SET given_up = true
    WHERE NOT l.given_up AND l.lost_at IS NOT NULL
      AND EXISTS (SELECT 1 FROM ledger.events e
                  WHERE e.stream_id = l.execution_id AND e.version > 2
                    AND e.type IN ('execution.completed', 'execution.timed_out',
                                   'execution.canceled', 'execution.lost'))
), due AS (
    SELECT execution_id, 'cancel' AS kind, due_at AS since FROM store.cancels
    WHERE due_at < clock_timestamp()
    UNION ALL
    SELECT execution_id, 'timeout', deadline_at FROM store.leases
    WHERE NOT given_up AND deadline_at < clock_timestamp()
    UNION ALL
    SELECT execution_id, 'lost', lost_at FROM store.leases
    WHERE NOT given_up AND lost_at IS NOT NULL
)
SELECT due.execution_id, due.kind, started.occurred_at, clock_timestamp()
FROM due
JOIN ledger.events started
    ON started.stream_id = due.execution_id AND started.type = 'execution.started'
WHERE NOT EXISTS (
    SELECT 1 FROM ledger.events e
    WHERE e.stream_id = due.execution_id AND e.version > 2
      AND e.type IN ('execution.completed', 'execution.timed_out', 'execution.canceled',
                     'execution.lost'))
  AND (due.kind = 'lost' OR clock_timestamp() < %(trusted_until)s)
ORDER BY due.since
LIMIT %(limit)s
