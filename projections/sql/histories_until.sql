-- Executions that match what never changes of them, newest first, each with its events up to a
-- position, in order; without any event if it was created later. The place in braces is filled with
-- fixed fragments by as_of.py; every value is a parameter.
SELECT candidate.id, e.version, e.type, e.schema_version, e.occurred_at, e.command_id, e.payload,
       e.position
FROM (
    SELECT id FROM read.executions_1
    {conditions}
    ORDER BY id DESC
    LIMIT %(limit)s
) AS candidate
LEFT JOIN ledger.events e ON e.stream_id = candidate.id AND e.position <= %(position)s
ORDER BY candidate.id DESC, e.version
