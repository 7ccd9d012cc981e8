-- Writes one batch under the append lock. Each parameter is one JSON array, or null for nothing;
-- bytes travel as base64, digests as hexadecimal. $9 is the notice that other servers get.
WITH written_events AS (
    INSERT INTO ledger.events (
        position, commit_number, occurred_at, recorded_at, ledger_id, stream_id, command_id,
        correlation_id, version, schema_version, type, actor, payload, leaf_hash)
    SELECT r.position, r.commit_number, r.occurred_at, r.recorded_at, r.ledger_id, r.stream_id,
           r.command_id, r.correlation_id, r.version, r.schema_version, r.type, r.actor,
           decode(r.payload, 'base64'), decode(r.leaf_hash, 'base64')
    FROM json_to_recordset($1::json) AS r (
        position bigint, commit_number bigint, occurred_at timestamptz, recorded_at timestamptz,
        ledger_id uuid, stream_id uuid, command_id uuid, correlation_id uuid, version integer,
        schema_version smallint, type text, actor text, payload text, leaf_hash text)
), written_configurations AS (
    INSERT INTO store.configurations (digest, salt, body)
    SELECT decode(r.digest, 'hex'), decode(r.salt, 'base64'), decode(r.body, 'base64')
    FROM json_to_recordset($2::json)
        AS r (digest text, salt text, body text)
    ON CONFLICT DO NOTHING
), written_messages AS (
    INSERT INTO store.messages (execution_id, version, salt, body)
    SELECT r.execution_id, r.version, decode(r.salt, 'base64'), decode(r.body, 'base64')
    FROM json_to_recordset($3::json)
        AS r (execution_id uuid, version integer, salt text, body text)
), queued AS (
    INSERT INTO store.pending (execution_id, pinned_agent_id, configuration)
    SELECT r.execution_id, r.pinned_agent_id, decode(r.configuration, 'hex')
    FROM json_to_recordset($4::json)
        AS r (execution_id uuid, pinned_agent_id text, configuration text)
), unqueued AS (
    DELETE FROM store.pending
    WHERE execution_id = ANY(
        SELECT value::uuid FROM json_array_elements_text($5::json))
), leased AS (
    INSERT INTO store.leases (execution_id, fence, agent_id, expires_at)
    SELECT r.execution_id, r.fence, r.agent_id,
           clock_timestamp() + make_interval(secs => r.lease_seconds)
    FROM json_to_recordset($6::json)
        AS r (execution_id uuid, fence uuid, agent_id text, lease_seconds double precision)
), set_deadlines AS (
    INSERT INTO store.deadlines (execution_id, kind, due_at)
    SELECT r.execution_id, r.kind, clock_timestamp() + make_interval(secs => r.after_seconds)
    FROM json_to_recordset($7::json)
        AS r (execution_id uuid, kind text, after_seconds double precision)
    ON CONFLICT DO NOTHING
), kept_answers AS (
    INSERT INTO store.idempotency (
        token_id, key, fingerprint, execution_id, status, location, answer, recorded_at)
    SELECT r.token_id, r.key, decode(r.fingerprint, 'base64'), r.execution_id, r.status,
           r.location, decode(r.answer, 'base64'), clock_timestamp()
    FROM json_to_recordset($8::json) AS r (
        token_id uuid, key text, fingerprint text, execution_id uuid, status smallint,
        location text, answer text)
)
SELECT pg_notify('cronledger', $9)
