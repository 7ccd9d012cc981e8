-- The whole histories, up to a position ($2), of the streams that changed after another one ($1).
-- LIMIT keeps the planner to one index lookup a stream, whatever its statistics say.
SELECT history.*
FROM (
    SELECT DISTINCT stream_id FROM ledger.events
    WHERE position > $1::bigint AND position <= $2::bigint
) AS changed
CROSS JOIN LATERAL (
    SELECT stream_id, version, type, schema_version, occurred_at, command_id, payload, position
    FROM ledger.events e
    WHERE e.stream_id = changed.stream_id AND e.position <= $2::bigint
    ORDER BY version LIMIT 10000
) AS history
