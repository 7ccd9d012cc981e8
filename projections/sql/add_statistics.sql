-- The inline projection of statistics: adds what a batch ended, by hour, by day and in all, and says
-- how far it has come. Parameters: $1 to $3 JSON arrays of rows, $4 the position of the head.
WITH moved AS (
    UPDATE read.projections SET position = $4::bigint WHERE name = 'statistics' AND version = 1
), hours AS (
    INSERT INTO read.statistics_hours_1 AS kept (
        starts_at, job_id, status, duration_class, count, duration_max_ms, last_at)
    SELECT starts_at, job_id, status, duration_class, count, duration_max_ms, last_at
    FROM json_to_recordset($1::json) AS r (
        starts_at timestamptz, job_id text, status text, duration_class smallint,
        count bigint, duration_max_ms bigint, last_at timestamptz)
    ON CONFLICT (starts_at, job_id, status, duration_class) DO UPDATE SET
        count = kept.count + excluded.count,
        duration_max_ms = greatest(kept.duration_max_ms, excluded.duration_max_ms),
        last_at = greatest(kept.last_at, excluded.last_at)
), days AS (
    INSERT INTO read.statistics_days_1 AS kept (
        starts_at, job_id, status, duration_class, count, duration_max_ms, last_at)
    SELECT starts_at, job_id, status, duration_class, count, duration_max_ms, last_at
    FROM json_to_recordset($2::json) AS r (
        starts_at timestamptz, job_id text, status text, duration_class smallint,
        count bigint, duration_max_ms bigint, last_at timestamptz)
    ON CONFLICT (starts_at, job_id, status, duration_class) DO UPDATE SET
        count = kept.count + excluded.count,
        duration_max_ms = greatest(kept.duration_max_ms, excluded.duration_max_ms),
        last_at = greatest(kept.last_at, excluded.last_at)
)
INSERT INTO read.statistics_ever_1 AS kept (
    job_id, status, duration_class, count, duration_max_ms, last_at)
SELECT job_id, status, duration_class, count, duration_max_ms, last_at
FROM json_to_recordset($3::json) AS r (
    job_id text, status text, duration_class smallint,
    count bigint, duration_max_ms bigint, last_at timestamptz)
ON CONFLICT (job_id, status, duration_class) DO UPDATE SET
    count = kept.count + excluded.count,
    duration_max_ms = greatest(kept.duration_max_ms, excluded.duration_max_ms),
    last_at = greatest(kept.last_at, excluded.last_at)
