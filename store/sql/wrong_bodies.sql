-- Which bodies of some executions are not what their events say. $1 messages by the version of their
-- event, $2 output streams with how much of each was kept, $3 the executions. `is_erased` is whether an
-- event erased it, and null if some event cannot be read, which may say either.
SELECT 'output' AS what, r.execution_id, CASE
    WHEN NOT r.is_erased THEN 'is marked as erased, and no event says so'
    WHEN o.erased_at IS NULL THEN 'was erased by an event, and is not marked as erased'
    ELSE 'was erased by an event, and is there' END
FROM json_to_recordset($3::json) AS r (execution_id uuid, is_erased boolean)
CROSS JOIN (VALUES (1::smallint), (2::smallint)) AS streams (stream)
LEFT JOIN store.outputs o ON o.execution_id = r.execution_id AND o.stream = streams.stream
WHERE CASE WHEN NOT r.is_erased THEN o.erased_at IS NOT NULL
    WHEN r.is_erased THEN o.erased_at IS NULL OR o.kept_bytes <> 0 OR o.salt <> '' OR o.preview <> ''
        OR EXISTS (SELECT FROM store.output_chunks c
                   WHERE c.execution_id = o.execution_id AND c.stream = o.stream) END
UNION ALL
SELECT 'message', r.execution_id, CASE
    WHEN m.execution_id IS NULL THEN 'is missing, and no event erased it'
    WHEN r.is_erased THEN 'was erased by an event, and is there'
    ELSE 'is not what its event says' END
FROM json_to_recordset($1::json) AS r (
    execution_id uuid, version integer, sha256 text, is_erased boolean)
LEFT JOIN store.messages m ON m.execution_id = r.execution_id AND m.version = r.version
WHERE CASE WHEN m.execution_id IS NULL THEN NOT r.is_erased
    ELSE coalesce(r.is_erased, false) OR encode(sha256(m.salt || m.body), 'hex') <> r.sha256 END
UNION ALL
SELECT 'output', r.execution_id, CASE
    WHEN kept.bytes IS NULL THEN 'is missing, and no event erased it'
    ELSE 'is not what its event says' END
FROM json_to_recordset($2::json) AS r (
    execution_id uuid, stream smallint, kept_bytes integer, sha256 text, is_erased boolean)
LEFT JOIN store.outputs o ON o.execution_id = r.execution_id AND o.stream = r.stream
CROSS JOIN LATERAL (
    SELECT string_agg(c.bytes, '' ORDER BY c.start_offset) AS bytes
    FROM store.output_chunks c WHERE c.execution_id = r.execution_id AND c.stream = r.stream
) AS kept
WHERE CASE WHEN kept.bytes IS NULL THEN NOT r.is_erased
    ELSE o.execution_id IS NULL
        OR encode(sha256(o.salt || substr(kept.bytes, 1, r.kept_bytes)), 'hex') <> r.sha256
        OR octet_length(kept.bytes) <> o.kept_bytes
        OR o.preview <> CASE r.stream WHEN 1 THEN substr(kept.bytes, 1, 4096)
            ELSE substr(kept.bytes, greatest(octet_length(kept.bytes) - 4095, 1)) END END
