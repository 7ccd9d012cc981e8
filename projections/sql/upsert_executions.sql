-- The inline projection: rows of the executions that a batch changed. $1 is a JSON array of rows.
INSERT INTO read.executions_1 AS kept (
    id, position, version, attempt, status, triggered_by, job_id, configuration, root_id, retry_of,
    retried_as, scheduled_for, started_at, cancel_requested_at, completed_at, duration_ms,
    timeout_seconds, start_deadline_seconds, exit_code, signal, failure_reason, observed_by,
    agent_id, pinned_agent_id, labels, masked,
    stdout_kept_bytes, stderr_kept_bytes, late_outcome, late_exit_code, late_reported_at,
    held)
SELECT r.id, r.position, r.version, r.attempt, r.status, r.triggered_by, r.job_id,
       decode(r.configuration, 'hex'), r.root_id, r.retry_of, r.retried_as, r.scheduled_for,
       r.started_at, r.cancel_requested_at, r.completed_at, r.duration_ms, r.timeout_seconds,
       r.start_deadline_seconds, r.exit_code, r.signal, r.failure_reason, r.observed_by,
       r.agent_id, r.pinned_agent_id, r.labels, coalesce(r.masked, false),
       r.stdout_kept_bytes, r.stderr_kept_bytes, r.late_outcome, r.late_exit_code,
       r.late_reported_at, r.held
FROM json_to_recordset($1::json) AS r (
    id uuid, position bigint, version integer, attempt integer, status text, triggered_by text,
    job_id text, configuration text, root_id uuid, retry_of uuid, retried_as uuid,
    scheduled_for timestamptz, started_at timestamptz, cancel_requested_at timestamptz,
    completed_at timestamptz, duration_ms bigint, timeout_seconds integer,
    start_deadline_seconds integer, exit_code integer, signal integer, failure_reason text,
    observed_by text, agent_id text, pinned_agent_id text, labels text[], masked boolean,
    stdout_kept_bytes bigint, stderr_kept_bytes bigint, late_outcome text, late_exit_code integer,
    late_reported_at timestamptz, held text)
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
