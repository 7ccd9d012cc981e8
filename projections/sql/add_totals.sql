-- The inline projection of totals: adds what a batch changed to one row a job. $1 to $19 are the
-- columns of rows in order of job_id; one to which nothing is added is null.
INSERT INTO read.totals_1 AS kept (
    job_id,
    pending_scheduled, pending_manual, pending_retry, running_scheduled, running_manual,
    running_retry, success_scheduled, success_manual, success_retry, failed_scheduled,
    failed_manual, failed_retry, timeout_scheduled, timeout_manual, timeout_retry,
    canceled_scheduled, canceled_manual, canceled_retry)
SELECT
    job_id,
    coalesce(pending_scheduled, 0), coalesce(pending_manual, 0), coalesce(pending_retry, 0),
    coalesce(running_scheduled, 0), coalesce(running_manual, 0), coalesce(running_retry, 0),
    coalesce(success_scheduled, 0), coalesce(success_manual, 0), coalesce(success_retry, 0),
    coalesce(failed_scheduled, 0), coalesce(failed_manual, 0), coalesce(failed_retry, 0),
    coalesce(timeout_scheduled, 0), coalesce(timeout_manual, 0), coalesce(timeout_retry, 0),
    coalesce(canceled_scheduled, 0), coalesce(canceled_manual, 0), coalesce(canceled_retry, 0)
FROM (
    SELECT
        unnest($1::text[]) AS job_id, unnest($2::bigint[]) AS pending_scheduled,
        unnest($3::bigint[]) AS pending_manual, unnest($4::bigint[]) AS pending_retry,
        unnest($5::bigint[]) AS running_scheduled, unnest($6::bigint[]) AS running_manual,
        unnest($7::bigint[]) AS running_retry, unnest($8::bigint[]) AS success_scheduled,
        unnest($9::bigint[]) AS success_manual, unnest($10::bigint[]) AS success_retry,
        unnest($11::bigint[]) AS failed_scheduled, unnest($12::bigint[]) AS failed_manual,
        unnest($13::bigint[]) AS failed_retry, unnest($14::bigint[]) AS timeout_scheduled,
        unnest($15::bigint[]) AS timeout_manual, unnest($16::bigint[]) AS timeout_retry,
        unnest($17::bigint[]) AS canceled_scheduled, unnest($18::bigint[]) AS canceled_manual,
        unnest($19::bigint[]) AS canceled_retry
) AS r
ON CONFLICT (job_id) DO UPDATE SET
    pending_scheduled = kept.pending_scheduled + excluded.pending_scheduled,
    pending_manual = kept.pending_manual + excluded.pending_manual,
    pending_retry = kept.pending_retry + excluded.pending_retry,
    running_scheduled = kept.running_scheduled + excluded.running_scheduled,
    running_manual = kept.running_manual + excluded.running_manual,
    running_retry = kept.running_retry + excluded.running_retry,
    success_scheduled = kept.success_scheduled + excluded.success_scheduled,
    success_manual = kept.success_manual + excluded.success_manual,
    success_retry = kept.success_retry + excluded.success_retry,
    failed_scheduled = kept.failed_scheduled + excluded.failed_scheduled,
    failed_manual = kept.failed_manual + excluded.failed_manual,
    failed_retry = kept.failed_retry + excluded.failed_retry,
    timeout_scheduled = kept.timeout_scheduled + excluded.timeout_scheduled,
    timeout_manual = kept.timeout_manual + excluded.timeout_manual,
    timeout_retry = kept.timeout_retry + excluded.timeout_retry,
    canceled_scheduled = kept.canceled_scheduled + excluded.canceled_scheduled,
    canceled_manual = kept.canceled_manual + excluded.canceled_manual,
    canceled_retry = kept.canceled_retry + excluded.canceled_retry
