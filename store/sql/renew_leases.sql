-- After the server was away: every lease gets a fresh period, every deadline a fresh grace.
WITH deadlines AS (
    UPDATE store.deadlines
    SET due_at = greatest(due_at, clock_timestamp() + make_interval(secs => %(grace)s))
)
UPDATE store.leases
SET expires_at = greatest(expires_at, clock_timestamp() + make_interval(secs => %(seconds)s))
WHERE lost_at IS NULL
