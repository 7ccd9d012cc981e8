-- The histories of some executions ($1, uuid[]), each in order. LIMIT keeps the planner to one index
-- lookup a stream, whatever its statistics say.
SELECT history.*
FROM unnest($1::uuid[]) AS asked (stream_id)
CROSS JOIN LATERAL (
    SELECT stream_id, version, type, schema_version, occurred_at, command_id, payload
    FROM ledger.events e WHERE e.stream_id = asked.stream_id ORDER BY version LIMIT 10000
) AS history
