-- Writes one batch under the append lock. Each part is one JSON array, or null for nothing; bytes
-- travel as base64, digests as hexadecimal. $2 to $4 are the same for all events of a commit: its
-- number, recorded_at and ledger_id. A commit may be written in several such statements.
WITH written_events AS (
    INSERT INTO ledger.events (
        position, commit_number, occurred_at, recorded_at, ledger_id, stream_id, command_id,
        correlation_id, version, schema_version, type, actor, payload, leaf_hash)
    SELECT r.position, $2::bigint, r.occurred_at, $3::timestamptz, $4::uuid, r.stream_id,
           r.command_id, r.correlation_id, r.version, r.schema_version, r.type, r.actor,
           decode(r.payload, 'base64'), decode(r.leaf_hash, 'base64')
    FROM json_to_recordset($1::json) AS r (
        position bigint, occurred_at timestamptz, stream_id uuid, command_id uuid,
        correlation_id uuid, version integer, schema_version smallint, type text, actor text,
        payload text, leaf_hash text)
), written_configurations AS (
    INSERT INTO store.configurations (digest, salt, body)
    SELECT decode(r.digest, 'hex'), decode(r.salt, 'base64'), decode(r.body, 'base64')
    FROM json_to_recordset($5::json)
        AS r (digest text, salt text, body text)
    ON CONFLICT DO NOTHING
), written_messages AS (
    INSERT INTO store.messages (execution_id, version, salt, body)
    SELECT r.execution_id, r.version, decode(r.salt, 'base64'), decode(r.body, 'base64')
    FROM json_to_recordset($6::json)
        AS r (execution_id uuid, version integer, salt text, body text)
), queued AS (
    INSERT INTO store.pending (execution_id, pinned_agent_id, configuration, labels, start_by)
    SELECT r.execution_id, r.pinned_agent_id, decode(r.configuration, 'hex'), r.labels,
           clock_timestamp() + make_interval(secs => r.start_seconds)
    FROM json_to_recordset($7::json) AS r (
        execution_id uuid, pinned_agent_id text, configuration text, labels text[],
        start_seconds double precision)
), unqueued AS (
    DELETE FROM store.pending
    WHERE execution_id = ANY(
        SELECT value::uuid FROM json_array_elements_text($8::json))
), leased AS (
    INSERT INTO store.leases (execution_id, fence, agent_id, expires_at, deadline_at)
    SELECT r.execution_id, r.fence, r.agent_id,
           clock_timestamp() + make_interval(secs => r.lease_seconds),
           clock_timestamp() + make_interval(secs => r.deadline_seconds)
    FROM json_to_recordset($9::json) AS r (
        execution_id uuid, fence uuid, agent_id text, lease_seconds double precision,
        deadline_seconds double precision)
), set_cancels AS (
    INSERT INTO store.cancels (execution_id, due_at)
    SELECT r.execution_id, clock_timestamp() + make_interval(secs => r.cancel_seconds)
    FROM json_to_recordset($10::json) AS r (execution_id uuid, cancel_seconds double precision)
    ON CONFLICT DO NOTHING
), expected AS (
    INSERT INTO store.expected_jobs (job_id, since)
    SELECT r.job_id, r.since FROM json_to_recordset($12::json) AS r (job_id text, since uuid)
    ON CONFLICT DO NOTHING
)
INSERT INTO store.idempotency (
    token_id, key, fingerprint, execution_id, status, location, answer, recorded_at)
SELECT r.token_id, r.key, decode(r.fingerprint, 'base64'), r.execution_id, r.status,
       r.location, decode(r.answer, 'base64'), clock_timestamp()
FROM json_to_recordset($11::json) AS r (
    token_id uuid, key text, fingerprint text, execution_id uuid, status smallint,
    location text, answer text)
