-- After the server was away: every lease gets a fresh period, every deadline a fresh grace.
WITH cancels AS (
    UPDATE store.cancels
    SET due_at = greatest(due_at, clock_timestamp() + make_interval(secs => %(grace)s))
)
UPDATE store.leases SET
    expires_at = greatest(expires_at, clock_timestamp() + make_interval(secs => %(seconds)s)),
    deadline_at = greatest(
        deadline_at,
        CASE WHEN deadline_at IS NOT NULL
             THEN clock_timestamp() + make_interval(secs => %(grace)s) END)
WHERE NOT given_up AND lost_at IS NULL
