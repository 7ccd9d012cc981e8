-- Executions that were there at a position, newest first, each with its events up to it, in order;
-- and on each row, how far was looked: at which execution last, and at how many. $1 + $2 of those
-- that match what never changes are looked at, at most, by a look-up each, and no more once as many
-- as asked for were there. One row without events says how far if none was there; no row at all,
-- that nothing matches. The places in braces are filled with fixed texts and the numbers of
-- parameters by as_of.py.
WITH looked_at AS MATERIALIZED (
    SELECT candidate.id,
           row_number() OVER (ORDER BY candidate.id DESC) AS number,
           (
               SELECT first.position FROM ledger.events first WHERE first.stream_id = candidate.id
               ORDER BY first.version LIMIT 1
           ) <= {position}::bigint AS was_there
    FROM (
        SELECT matched.id FROM ({matching}) AS matched
        ORDER BY matched.id DESC LIMIT $1::bigint + $2::bigint
    ) AS candidate
),
-- Of a statement in WITH only the rows that are fetched are made: nothing beyond is looked up.
there AS MATERIALIZED (
    SELECT id, number FROM looked_at WHERE was_there LIMIT {enough}::bigint
)
SELECT last.id, last.number,
       there.id, e.version, e.type, e.schema_version, e.occurred_at, e.command_id, e.payload,
       e.position
FROM (
    (SELECT id, number FROM there OFFSET {enough}::bigint - 1 LIMIT 1)
    UNION ALL
    (SELECT id, number FROM looked_at ORDER BY number DESC LIMIT 1)
    LIMIT 1
) AS last
LEFT JOIN there ON true
LEFT JOIN ledger.events e ON e.stream_id = there.id AND e.position <= {position}::bigint
ORDER BY there.id DESC, e.version
