-- Takes planned retries that are due, as many as the budget allows, for a while in which no other
-- server takes them. The bucket holds %(burst)s at most and fills by %(per_second)s.
WITH bucket AS MATERIALIZED (
    SELECT least(%(burst)s, tokens + %(per_second)s
                 * greatest(0, extract(epoch FROM clock_timestamp() - filled_at))) AS tokens
    FROM store.retry_budget FOR UPDATE
), due AS MATERIALIZED (
    SELECT execution_id FROM store.planned_retries
    WHERE retry_at <= clock_timestamp()
      AND (held_until IS NULL OR held_until <= clock_timestamp())
    ORDER BY retry_at
    LIMIT (SELECT least(%(limit)s, floor(tokens))::bigint FROM bucket)
    FOR UPDATE SKIP LOCKED
), spent AS (
    UPDATE store.retry_budget
    SET tokens = bucket.tokens - (SELECT count(*) FROM due), filled_at = clock_timestamp()
    FROM bucket
)
UPDATE store.planned_retries p SET held_until = clock_timestamp() + interval '30 seconds'
FROM due WHERE p.execution_id = due.execution_id
RETURNING p.execution_id
