-- How far the times of some jobs ($1, uuid[]) are settled.
SELECT id, settled_until FROM store.schedules WHERE id = ANY($1::uuid[])
