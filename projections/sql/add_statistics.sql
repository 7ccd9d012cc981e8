-- The inline projection of statistics: adds what a batch ended, by hour, by day and in all.
-- $1 to $7 are the columns of the rows of hours, from which those of the days and of all time are
-- summed.
WITH added AS MATERIALIZED (
    SELECT unnest($1::timestamptz[]) AS starts_at, unnest($2::text[]) AS job_id,
           unnest($3::text[]) AS status, unnest($4::smallint[]) AS duration_class,
           unnest($5::bigint[]) AS count, unnest($6::bigint[]) AS duration_max_ms,
           unnest($7::timestamptz[]) AS last_at
), hours AS (
    INSERT INTO read.statistics_hours_1 AS kept (
        starts_at, job_id, status, duration_class, count, duration_max_ms, last_at)
    SELECT starts_at, job_id, status, duration_class, count, duration_max_ms, last_at FROM added
    ON CONFLICT (starts_at, job_id, status, duration_class) DO UPDATE SET
        count = kept.count + excluded.count,
        duration_max_ms = greatest(kept.duration_max_ms, excluded.duration_max_ms),
        last_at = greatest(kept.last_at, excluded.last_at)
), days AS (
    INSERT INTO read.statistics_days_1 AS kept (
        starts_at, job_id, status, duration_class, count, duration_max_ms, last_at)
    SELECT date_trunc('day', starts_at, 'UTC') AS day, job_id, status, duration_class,
           sum(count), max(duration_max_ms), max(last_at)
    FROM added GROUP BY day, job_id, status, duration_class
    ON CONFLICT (starts_at, job_id, status, duration_class) DO UPDATE SET
        count = kept.count + excluded.count,
        duration_max_ms = greatest(kept.duration_max_ms, excluded.duration_max_ms),
        last_at = greatest(kept.last_at, excluded.last_at)
)
INSERT INTO read.statistics_ever_1 AS kept (
    job_id, status, duration_class, count, duration_max_ms, last_at)
SELECT job_id, status, duration_class, sum(count), max(duration_max_ms), max(last_at)
FROM added GROUP BY job_id, status, duration_class
ON CONFLICT (job_id, status, duration_class) DO UPDATE SET
    count = kept.count + excluded.count,
    duration_max_ms = greatest(kept.duration_max_ms, excluded.duration_max_ms),
    last_at = greatest(kept.last_at, excluded.last_at)
