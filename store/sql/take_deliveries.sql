-- Takes messages that are due, the oldest of each webhook, for a while in which no other server
-- takes them. A webhook that failed last is asked with one message at a time, and not before it is
-- to be tried again; those in %(busy)s this server is sending to. Webhooks that fail (%(failing)s) and
-- those that do not are asked for apart, so that the former never take all places.
WITH due AS MATERIALIZED (
    SELECT next.id
    FROM store.webhooks w
    CROSS JOIN LATERAL (
        SELECT d.id FROM store.deliveries d
        WHERE d.webhook_id = w.id AND d.state = 'pending' AND d.due_at <= clock_timestamp()
        ORDER BY d.due_at, d.id
        LIMIT 1
        FOR UPDATE SKIP LOCKED
    ) AS next
    WHERE (w.resume_at IS NULL OR w.resume_at <= clock_timestamp())
      AND w.id <> ALL(%(busy)s::uuid[]) AND (w.failures > 0) = %(failing)s
    LIMIT %(limit)s
)
UPDATE store.deliveries d
SET due_at = clock_timestamp() + interval '60 seconds', attempts = d.attempts + 1
FROM due, store.webhooks w
WHERE d.id = due.id AND w.id = d.webhook_id
RETURNING d.id, d.webhook_id, d.event_id, d.event, d.subject, d.attempts, d.created_at, w.url,
          w.secret, w.failures
