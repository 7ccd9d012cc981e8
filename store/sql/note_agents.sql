-- Agents that were heard of: %(seen)s is a JSON array. In order, so that two servers that write the
-- same ones wait for each other instead of both. A heartbeat says no labels, not even none of them;
-- then what the last claim said stays.
INSERT INTO store.agents AS kept (
    agent_id, last_seen_at, token_bound, version, labels, concurrency)
SELECT r.agent_id, r.last_seen_at, r.token_bound, r.version, r.labels, r.concurrency
FROM json_to_recordset(%(seen)s::json) AS r (
    agent_id text, last_seen_at timestamptz, token_bound boolean, version text, labels text[],
    concurrency integer)
ORDER BY r.agent_id
ON CONFLICT (agent_id) DO UPDATE SET
    last_seen_at = greatest(kept.last_seen_at, excluded.last_seen_at),
    token_bound = excluded.token_bound,
    version = CASE WHEN excluded.labels IS NULL THEN kept.version ELSE excluded.version END,
    concurrency =
        CASE WHEN excluded.labels IS NULL THEN kept.concurrency ELSE excluded.concurrency END,
    labels = coalesce(excluded.labels, kept.labels)
