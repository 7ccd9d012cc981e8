-- The agents that were seen last, and what runs under their leases: all running executions are read
-- once, by executions_1_by_status.
WITH held AS (
    SELECT agent_id, count(*) AS running_count,
           (array_agg(id ORDER BY id DESC))[:%(running_max)s] AS running
    FROM read.executions_1 WHERE status = 'running' GROUP BY agent_id
)
SELECT a.agent_id, a.last_seen_at, a.token_bound, a.version, a.labels, a.concurrency,
       coalesce(held.running_count, 0), coalesce(held.running, '{}')
FROM store.agents a
LEFT JOIN held ON held.agent_id = a.agent_id
ORDER BY a.last_seen_at DESC, a.agent_id
LIMIT %(limit)s
