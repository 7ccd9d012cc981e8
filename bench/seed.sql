-- Executions over the year before now, as a ledger of cron jobs has them: few jobs run most of the
-- time, nearly all succeed on schedule, some fail, few are canceled or retried, and the last ones
-- still wait or run. The same seed gives the same rows but for the time. The places in braces are
-- how many there are, and of how many jobs.
SELECT setseed(0.42);

CREATE TEMPORARY TABLE drawn AS
SELECT n, floor(jobs.count * pow(random(), 4))::integer AS job, random() AS fate,
       random() AS cause, random() AS luck, random() AS size
FROM generate_series(1, {count}) AS n, (SELECT {jobs} AS count) AS jobs;

CREATE TEMPORARY TABLE shaped AS
SELECT n,
       -- The time in milliseconds, version and variant, and a number: a UUIDv7.
       (lpad(to_hex(clock.ms - ({count} - n) * (365 * 86400000::bigint / {count})), 12, '0')
        || '7' || lpad(to_hex(n % 4096), 3, '0') || '8000' || lpad(to_hex(n), 12, '0'))::uuid AS id,
       to_timestamp((clock.ms - ({count} - n) * (365 * 86400000::bigint / {count})) / 1000.0) AS at,
       job,
       CASE WHEN n > {count} - 20 THEN 'pending' WHEN n > {count} - 60 THEN 'running'
            WHEN fate < 0.0001 THEN 'canceled' WHEN fate < 0.0011 THEN 'timeout'
            WHEN fate < 0.03 THEN 'failed' ELSE 'success' END AS status,
       CASE WHEN cause < 0.002 THEN 'retry' WHEN cause < 0.05 THEN 'manual'
            ELSE 'scheduled' END AS triggered_by,
       -- Around a duration of the job's own, from 20 ms to an hour.
       (20 * exp(12.0 * job / {jobs}) * exp(luck - 0.5))::bigint AS duration_ms,
       size
FROM drawn, (SELECT (extract(epoch FROM now()) * 1000)::bigint AS ms) AS clock;

INSERT INTO read.executions_1 (
    id, position, version, attempt, status, triggered_by, job_id, configuration, root_id,
    started_at, completed_at, duration_ms, timeout_seconds, exit_code, failure_reason, observed_by,
    agent_id, stdout_kept_bytes, stderr_kept_bytes)
SELECT s.id, 3 * n, 3, 1, status, triggered_by, c.job_id, c.digest, s.id,
       CASE WHEN status <> 'pending' THEN at + interval '20 ms' END,
       CASE WHEN ended THEN at + duration_ms * interval '1 ms' END,
       CASE WHEN ended THEN duration_ms END, 3600,
       CASE status WHEN 'success' THEN 0 WHEN 'failed' THEN 1 WHEN 'timeout' THEN 143 END,
       CASE WHEN status = 'failed' THEN 'exit_code' END,
       CASE WHEN ended THEN 'agent' END,
       CASE WHEN status <> 'pending' THEN 'agent-' || job % 10 END,
       CASE WHEN ended THEN CASE WHEN size < 0.7 THEN (20 + 400 * size)::bigint ELSE 0 END END,
       CASE WHEN ended THEN CASE WHEN status = 'failed' THEN 80 ELSE 0 END END
FROM shaped s
JOIN pg_temp.seeded_jobs c USING (job)
CROSS JOIN LATERAL (SELECT status NOT IN ('pending', 'running') AS ended) AS finals;

INSERT INTO store.outputs (execution_id, stream, salt, next_offset, kept_bytes, preview)
SELECT id, stream, '\x00', bytes, bytes,
       convert_to(rpad('', bytes::integer, 'copied one more file' || chr(10)), 'UTF8')
FROM read.executions_1
CROSS JOIN LATERAL (VALUES (1, stdout_kept_bytes), (2, stderr_kept_bytes)) AS o (stream, bytes)
WHERE bytes > 0;

INSERT INTO store.output_chunks SELECT execution_id, stream, 0, preview FROM store.outputs;
