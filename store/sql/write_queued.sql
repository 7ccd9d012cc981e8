-- Executions that wait for an agent from now on. $1 is a JSON array.
INSERT INTO store.pending (execution_id, pinned_agent_id, configuration, labels, start_by)
SELECT r.execution_id, r.pinned_agent_id, decode(r.configuration, 'hex'), r.labels,
       clock_timestamp() + make_interval(secs => r.start_seconds)
FROM json_to_recordset($1::json) AS r (
    execution_id uuid, pinned_agent_id text, configuration text, labels text[],
    start_seconds double precision)
