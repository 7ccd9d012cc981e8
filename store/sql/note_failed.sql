-- The target has not taken it: both wait, and past its time the message is given up.
WITH noted AS (
    UPDATE store.webhooks
    SET failures = failures + 1,
        resume_at = clock_timestamp() + make_interval(secs => %(target_wait)s)
    WHERE id = %(webhook)s
)
UPDATE store.deliveries
SET due_at = clock_timestamp() + make_interval(secs => %(wait)s),
    state = CASE WHEN clock_timestamp() + make_interval(secs => %(wait)s) > expires_at
                 THEN 'given_up' ELSE 'pending' END
WHERE id = %(id)s
