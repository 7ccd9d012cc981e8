-- Leases that claims got. $1 is a JSON array.
INSERT INTO store.leases (execution_id, fence, agent_id, expires_at, deadline_at)
SELECT r.execution_id, r.fence, r.agent_id,
       clock_timestamp() + make_interval(secs => r.lease_seconds),
       clock_timestamp() + make_interval(secs => r.deadline_seconds)
FROM json_to_recordset($1::json) AS r (
    execution_id uuid, fence uuid, agent_id text, lease_seconds double precision,
    deadline_seconds double precision)
