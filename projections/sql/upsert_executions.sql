-- The inline projection: rows of the executions that a batch changed. $1 to $32 are their columns.
INSERT INTO read.executions_1 AS kept (
    id, position, version, attempt, status, triggered_by, job_id, configuration, root_id, retry_of,
    retried_as, scheduled_for, started_at, cancel_requested_at, completed_at, duration_ms,
    timeout_seconds, start_deadline_seconds, exit_code, signal, failure_reason, observed_by,
    agent_id, pinned_agent_id, labels, masked,
    stdout_kept_bytes, stderr_kept_bytes, late_outcome, late_exit_code, late_reported_at,
    held)
SELECT unnest($1::uuid[]), unnest($2::bigint[]), unnest($3::integer[]), unnest($4::integer[]),
       unnest($5::text[]), unnest($6::text[]), unnest($7::text[]),
       decode(unnest($8::text[]), 'hex'), unnest($9::uuid[]), unnest($10::uuid[]),
       unnest($11::uuid[]), unnest($12::timestamptz[]), unnest($13::timestamptz[]),
       unnest($14::timestamptz[]), unnest($15::timestamptz[]), unnest($16::bigint[]),
       unnest($17::integer[]), unnest($18::integer[]), unnest($19::integer[]),
       unnest($20::integer[]), unnest($21::text[]), unnest($22::text[]), unnest($23::text[]),
       unnest($24::text[]), unnest($25::text[])::text[], unnest($26::boolean[]),
       unnest($27::bigint[]), unnest($28::bigint[]), unnest($29::text[]), unnest($30::integer[]),
       unnest($31::timestamptz[]), unnest($32::text[])
ON CONFLICT (id) DO UPDATE SET
    position = excluded.position, version = excluded.version, status = excluded.status,
    retried_as = excluded.retried_as, started_at = excluded.started_at,
    cancel_requested_at = excluded.cancel_requested_at, completed_at = excluded.completed_at,
    duration_ms = excluded.duration_ms, exit_code = excluded.exit_code,
    signal = excluded.signal, failure_reason = excluded.failure_reason,
    observed_by = excluded.observed_by, agent_id = excluded.agent_id, masked = excluded.masked,
    stdout_kept_bytes = excluded.stdout_kept_bytes,
    stderr_kept_bytes = excluded.stderr_kept_bytes, late_outcome = excluded.late_outcome,
    late_exit_code = excluded.late_exit_code, late_reported_at = excluded.late_reported_at,
    held = excluded.held
WHERE kept.position < excluded.position
