-- Writes events under the append lock. $1 is a JSON array of rows, in which bytes stand as base64; $2
-- to $4 are the same for all events of a commit: its number, recorded_at and ledger_id. A commit may
-- be written in several such statements.
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
