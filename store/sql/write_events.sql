-- Writes events under the append lock. $1 to $11 are the columns of rows; $12 to $14 are the same for all
-- events of a commit: its number, recorded_at and ledger_id. A commit may be written in several such
-- statements.
INSERT INTO ledger.events (
    position, occurred_at, stream_id, command_id, correlation_id, version, schema_version, type,
    actor, payload, leaf_hash, commit_number, recorded_at, ledger_id)
SELECT unnest($1::bigint[]), unnest($2::timestamptz[]), unnest($3::uuid[]), unnest($4::uuid[]),
       unnest($5::uuid[]), unnest($6::integer[]), unnest($7::smallint[]), unnest($8::text[]),
       unnest($9::text[]), unnest($10::bytea[]), unnest($11::bytea[]),
       $12::bigint, $13::timestamptz, $14::uuid
