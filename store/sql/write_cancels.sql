-- Cancels that were requested. $1 is a JSON array.
INSERT INTO store.cancels (execution_id, due_at)
SELECT r.execution_id, clock_timestamp() + make_interval(secs => r.cancel_seconds)
FROM json_to_recordset($1::json) AS r (execution_id uuid, cancel_seconds double precision)
ON CONFLICT DO NOTHING
