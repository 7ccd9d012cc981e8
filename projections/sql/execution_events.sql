-- The audit trail of one execution.
SELECT position, version, type, schema_version, occurred_at, recorded_at, actor, command_id,
       correlation_id, payload, leaf_hash
FROM ledger.events WHERE stream_id = %(execution_id)s ORDER BY version
