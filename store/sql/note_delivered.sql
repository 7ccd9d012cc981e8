-- The target has taken it.
WITH noted AS (
    UPDATE store.webhooks SET failures = 0, resume_at = NULL
    WHERE id = %(webhook)s AND (failures > 0 OR resume_at IS NOT NULL)
)
UPDATE store.deliveries SET state = 'delivered' WHERE id = %(id)s
