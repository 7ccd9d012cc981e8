-- What others have recorded since a position ($1), the event at that position first: its hash tells
-- whether it is still the one that the writer knows. At most $2 rows.
SELECT leaf_hash, stream_id, version, type, schema_version, occurred_at, command_id, payload
FROM ledger.events WHERE position >= $1::bigint ORDER BY position LIMIT $2::integer
