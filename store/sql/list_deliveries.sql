-- The newest messages to one webhook with their attempts, newest first.
SELECT d.id, d.event_id, d.event, d.state, d.created_at, d.due_at,
       coalesce((SELECT json_agg(json_build_array(
                     a.number, a.at, a.duration_ms, a.status_code, a.error, a.answer)
                     ORDER BY a.number)
                 FROM store.delivery_attempts a WHERE a.delivery_id = d.id), '[]')
FROM store.deliveries d
WHERE d.webhook_id = %(webhook)s
ORDER BY d.created_at DESC, d.id
LIMIT %(limit)s
