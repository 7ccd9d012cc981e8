-- Indexes for every combination of the list's filters, and what is counted ahead of time: totals by
-- status and trigger, and statistics of what ended, by hour, day and in all.

-- While this runs nothing is recorded: what is filled here stands where the executions stand.
SELECT pg_advisory_xact_lock(1668443502);

-- Each list reads one of these from its end, by all of its columns (projections/queries.py). The
-- one of status and trigger serves either alone too: there are six of one and three of the other.
CREATE INDEX executions_1_by_status_and_trigger ON read.executions_1 (status, triggered_by, id);
CREATE INDEX executions_1_by_job_and_status ON read.executions_1 (job_id, status, triggered_by, id);
DROP INDEX read.executions_1_by_status;
DROP INDEX read.executions_1_of_retries;

-- How many executions there are of each status and trigger: one row a job, and one of all jobs
-- under the name '', which no job has. No index holds a count, so that a change writes no index.
CREATE TABLE read.totals_1 (
    job_id               text    COLLATE "C" PRIMARY KEY,
    pending_scheduled    bigint  NOT NULL,
    pending_manual       bigint  NOT NULL,
    pending_retry        bigint  NOT NULL,
    running_scheduled    bigint  NOT NULL,
    running_manual       bigint  NOT NULL,
    running_retry        bigint  NOT NULL,
    success_scheduled    bigint  NOT NULL,
    success_manual       bigint  NOT NULL,
    success_retry        bigint  NOT NULL,
    failed_scheduled     bigint  NOT NULL,
    failed_manual        bigint  NOT NULL,
    failed_retry         bigint  NOT NULL,
    timeout_scheduled    bigint  NOT NULL,
    timeout_manual       bigint  NOT NULL,
    timeout_retry        bigint  NOT NULL,
    canceled_scheduled   bigint  NOT NULL,
    canceled_manual      bigint  NOT NULL,
    canceled_retry       bigint  NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

INSERT INTO read.totals_1
SELECT CASE WHEN grouping(job_id) = 1 THEN '' ELSE job_id END,
       count(*) FILTER (WHERE status = 'pending' AND triggered_by = 'scheduled'),
       count(*) FILTER (WHERE status = 'pending' AND triggered_by = 'manual'),
       count(*) FILTER (WHERE status = 'pending' AND triggered_by = 'retry'),
       count(*) FILTER (WHERE status = 'running' AND triggered_by = 'scheduled'),
       count(*) FILTER (WHERE status = 'running' AND triggered_by = 'manual'),
       count(*) FILTER (WHERE status = 'running' AND triggered_by = 'retry'),
       count(*) FILTER (WHERE status = 'success' AND triggered_by = 'scheduled'),
       count(*) FILTER (WHERE status = 'success' AND triggered_by = 'manual'),
       count(*) FILTER (WHERE status = 'success' AND triggered_by = 'retry'),
       count(*) FILTER (WHERE status = 'failed' AND triggered_by = 'scheduled'),
       count(*) FILTER (WHERE status = 'failed' AND triggered_by = 'manual'),
       count(*) FILTER (WHERE status = 'failed' AND triggered_by = 'retry'),
       count(*) FILTER (WHERE status = 'timeout' AND triggered_by = 'scheduled'),
       count(*) FILTER (WHERE status = 'timeout' AND triggered_by = 'manual'),
       count(*) FILTER (WHERE status = 'timeout' AND triggered_by = 'retry'),
       count(*) FILTER (WHERE status = 'canceled' AND triggered_by = 'scheduled'),
       count(*) FILTER (WHERE status = 'canceled' AND triggered_by = 'manual'),
       count(*) FILTER (WHERE status = 'canceled' AND triggered_by = 'retry')
FROM read.executions_1
GROUP BY GROUPING SETS ((job_id), ()) HAVING count(*) > 0;

-- What ended, by the hour (UTC) in which it was created, its job ('' for all), its status and a
-- class of its duration (projections/durations.py; -1 for what never ran). A class is a row, so that
-- a job that runs once an hour has one row an hour.
CREATE TABLE read.statistics_hours_1 (
    starts_at       timestamptz NOT NULL,
    job_id          text        COLLATE "C" NOT NULL,
    status          text        COLLATE "C" NOT NULL,
    duration_class  smallint    NOT NULL,
    count           bigint      NOT NULL,
    duration_max_ms bigint      NOT NULL,
    last_at         timestamptz NOT NULL,
    PRIMARY KEY (starts_at, job_id, status, duration_class)
) WITH (fillfactor = 80);
CREATE INDEX statistics_hours_1_by_job ON read.statistics_hours_1 (job_id, starts_at);

-- The same by day.
CREATE TABLE read.statistics_days_1 (
    LIKE read.statistics_hours_1,
    PRIMARY KEY (starts_at, job_id, status, duration_class)
) WITH (fillfactor = 80);
CREATE INDEX statistics_days_1_by_job ON read.statistics_days_1 (job_id, starts_at);

-- The same of all time.
CREATE TABLE read.statistics_ever_1 (
    job_id          text        COLLATE "C" NOT NULL,
    status          text        COLLATE "C" NOT NULL,
    duration_class  smallint    NOT NULL,
    count           bigint      NOT NULL,
    duration_max_ms bigint      NOT NULL,
    last_at         timestamptz NOT NULL,
    PRIMARY KEY (job_id, status, duration_class)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

INSERT INTO read.statistics_hours_1
WITH measured AS (
    SELECT job_id, status, completed_at, coalesce(duration_ms, 0) AS ms,
           -- The first 48 bits of a UUIDv7 are its millisecond.
           to_timestamp((('x' || left(replace(id::text, '-', ''), 12))::bit(48)::bigint) / 1000.0)
               AS created_at,
           CASE WHEN started_at IS NULL THEN 0
                ELSE length(ltrim(greatest(duration_ms, 1)::bit(64)::text, '0')) END AS bits
    FROM read.executions_1 WHERE completed_at IS NOT NULL
), classed AS (
    SELECT job_id, status, completed_at, ms, date_trunc('hour', created_at, 'UTC') AS starts_at,
           CASE WHEN bits = 0 THEN -1 WHEN ms < 4 THEN ms
                ELSE 4 * (bits - 2) + ((ms >> (bits - 3)) & 3) END AS duration_class
    FROM measured
)
SELECT starts_at, CASE WHEN grouping(job_id) = 1 THEN '' ELSE job_id END, status, duration_class,
       count(*), max(ms), max(completed_at)
FROM classed
GROUP BY GROUPING SETS ((starts_at, job_id, status, duration_class),
                        (starts_at, status, duration_class));

INSERT INTO read.statistics_days_1
SELECT date_trunc('day', starts_at, 'UTC'), job_id, status, duration_class,
       sum(count), max(duration_max_ms), max(last_at)
FROM read.statistics_hours_1 GROUP BY 1, 2, 3, 4;

INSERT INTO read.statistics_ever_1
SELECT job_id, status, duration_class, sum(count), max(duration_max_ms), max(last_at)
FROM read.statistics_days_1 GROUP BY 1, 2, 3;

INSERT INTO read.projections
SELECT made.name, 1, e.position
FROM read.projections e, (VALUES ('totals'), ('statistics')) AS made (name)
WHERE e.name = 'executions' AND e.version = 1;

GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA read TO cronledger_server;
