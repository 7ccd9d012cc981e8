-- Executions that match what never changes of them and were there at a position, newest first, each
-- with its events up to it, in order. Those that were recorded later are passed over by a look-up
-- each. The place in braces is filled with fixed fragments by as_of.py; every value is a parameter.
SELECT candidate.id, e.version, e.type, e.schema_version, e.occurred_at, e.command_id, e.payload,
       e.position
FROM (
    SELECT x.id FROM read.executions_1 x
    WHERE (
        SELECT first.position FROM ledger.events first WHERE first.stream_id = x.id
        ORDER BY first.version LIMIT 1
    ) <= %(position)s
    {conditions}
    ORDER BY x.id DESC
    LIMIT %(limit)s
) AS candidate
JOIN ledger.events e ON e.stream_id = candidate.id AND e.position <= %(position)s
ORDER BY candidate.id DESC, e.version
