-- The jobs of whose executions events of these types stand in a piece of the log, each once.
-- LIMIT keeps the planner to one index lookup an event, whatever its statistics say.
SELECT DISTINCT execution.job_id
FROM ledger.events AS event
CROSS JOIN LATERAL (
    SELECT job_id FROM read.executions_1 WHERE id = event.stream_id LIMIT 1
) AS execution
WHERE event.position > %(after)s::bigint AND event.position <= %(until)s::bigint
  AND event.type = ANY(%(types)s::text[])
