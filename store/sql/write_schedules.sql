-- What a batch changes of the schedule, each a JSON array or null: $1 times that were settled, $2 jobs
-- that were changed and not settled since, $3 executions that are held, $4 those no longer held.
WITH settled AS (
    UPDATE store.schedules s SET settled_until = r.settled_until, look_at = r.look_at
    FROM json_to_recordset($1::json) AS r (
        id uuid, settled_until timestamptz, look_at timestamptz)
    WHERE s.id = r.id
), changed AS (
    INSERT INTO store.schedules AS kept (id, settled_until, look_at)
    SELECT r.id, r.since, '-infinity'
    FROM json_to_recordset($2::json) AS r (id uuid, since timestamptz)
    ON CONFLICT (id) DO UPDATE SET look_at = excluded.look_at
), held AS (
    INSERT INTO store.held (execution_id, id, start_by)
    SELECT r.execution_id, r.id, clock_timestamp() + make_interval(secs => r.start_seconds)
    FROM json_to_recordset($3::json) AS r (
        execution_id uuid, id uuid, start_seconds double precision)
)
DELETE FROM store.held
WHERE execution_id = ANY(SELECT value::uuid FROM json_array_elements_text($4::json))
