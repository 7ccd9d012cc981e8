-- What waits, runs and is being canceled, as the imported events say. $1 the queue, $2 leases,
-- $3 cancels, $4 what is held, each a JSON array.
WITH held AS (
    INSERT INTO store.held (execution_id, id, start_by)
    SELECT r.execution_id, r.id, r.start_by
    FROM json_to_recordset($4::json) AS r (execution_id uuid, id uuid, start_by timestamptz)
), queued AS (
    INSERT INTO store.pending (execution_id, pinned_agent_id, configuration, labels, start_by)
    SELECT r.execution_id, r.pinned_agent_id, decode(r.configuration, 'hex'), r.labels, r.start_by
    FROM json_to_recordset($1::json) AS r (
        execution_id uuid, pinned_agent_id text, configuration text, labels text[],
        start_by timestamptz)
), leased AS (
    INSERT INTO store.leases (
        execution_id, fence, agent_id, expires_at, deadline_at, lost_at, given_up)
    SELECT r.execution_id, r.fence, r.agent_id, r.expires_at, r.deadline_at, r.lost_at,
           r.lost_at IS NOT NULL
    FROM json_to_recordset($2::json) AS r (
        execution_id uuid, fence uuid, agent_id text, expires_at timestamptz,
        deadline_at timestamptz, lost_at timestamptz)
)
INSERT INTO store.cancels (execution_id, due_at)
SELECT r.execution_id, r.due_at
FROM json_to_recordset($3::json) AS r (execution_id uuid, due_at timestamptz)
