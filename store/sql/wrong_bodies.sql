-- Which of some bodies are not what events say. $1 messages by the version of their event, $2 output
-- streams with how much of each was kept. A body that is not there at all was erased.
SELECT 'the message of', r.execution_id
FROM json_to_recordset($1::json) AS r (execution_id uuid, version integer, sha256 text)
JOIN store.messages m ON m.execution_id = r.execution_id AND m.version = r.version
WHERE encode(sha256(m.salt || m.body), 'hex') <> r.sha256
UNION ALL
SELECT 'the output of', r.execution_id
FROM json_to_recordset($2::json) AS r (
    execution_id uuid, stream smallint, kept_bytes integer, sha256 text)
JOIN store.outputs o ON o.execution_id = r.execution_id AND o.stream = r.stream
CROSS JOIN LATERAL (
    SELECT string_agg(c.bytes, '' ORDER BY c.start_offset) AS bytes
    FROM store.output_chunks c WHERE c.execution_id = o.execution_id AND c.stream = o.stream
) AS kept
WHERE kept.bytes IS NOT NULL AND (
    encode(sha256(o.salt || substr(kept.bytes, 1, r.kept_bytes)), 'hex') <> r.sha256
    OR octet_length(kept.bytes) <> o.kept_bytes
    OR o.preview <> CASE r.stream WHEN 1 THEN substr(kept.bytes, 1, 4096)
        ELSE substr(kept.bytes, greatest(octet_length(kept.bytes) - 4095, 1)) END)
