-- One heartbeat. A lease that the sweep has marked lost stays lost; one that merely ran out, and
-- that nobody has noticed yet, lives on. An execution that has ended needs no lease.
-- A token that is bound to an agent renews that agent's leases only.
UPDATE store.leases l
SET expires_at = clock_timestamp() + make_interval(secs => %(seconds)s)
WHERE l.execution_id = %(execution_id)s AND l.fence = %(fence)s AND l.lost_at IS NULL
  AND (%(agent_id)s::text IS NULL OR l.agent_id = %(agent_id)s::text)
  AND NOT EXISTS (
      SELECT 1 FROM ledger.events e
      WHERE e.stream_id = %(execution_id)s
        AND e.type IN ('execution.completed', 'execution.timed_out', 'execution.canceled',
                       'execution.lost'))
RETURNING l.expires_at, EXISTS (
    SELECT 1 FROM ledger.events e
    WHERE e.stream_id = %(execution_id)s AND e.type = 'execution.cancel_requested'), l.agent_id
