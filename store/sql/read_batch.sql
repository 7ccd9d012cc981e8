-- Everything a batch must know, read under the append lock in one round trip, as one document.
-- Parameters: streams uuid[], token ids uuid[] and keys text[] (pairs), claiming agents text[],
-- number of claims.
WITH candidates AS MATERIALIZED (
    (SELECT execution_id, pinned_agent_id, configuration FROM store.pending
     WHERE pinned_agent_id IS NULL ORDER BY execution_id LIMIT %(claims)s)
    UNION ALL
    SELECT pinned.* FROM unnest(%(agents)s::text[]) AS claiming (agent_id)
    CROSS JOIN LATERAL (
        SELECT execution_id, pinned_agent_id, configuration FROM store.pending
        WHERE pinned_agent_id = claiming.agent_id ORDER BY execution_id LIMIT %(claims)s
    ) AS pinned
), known AS (
    SELECT stream_id, version, type, schema_version, occurred_at, actor, command_id,
           correlation_id, convert_from(payload, 'UTF8') AS payload
    FROM ledger.events WHERE stream_id = ANY(%(streams)s::uuid[])
    UNION ALL
    SELECT e.stream_id, e.version, e.type, e.schema_version, e.occurred_at, e.actor, e.command_id,
           e.correlation_id, convert_from(e.payload, 'UTF8')
    FROM candidates c JOIN ledger.events e ON e.stream_id = c.execution_id
    WHERE c.execution_id <> ALL(%(streams)s::uuid[])
)
SELECT json_build_object(
    'now', clock_timestamp(),
    'transaction', pg_current_xact_id()::text,
    'head', (SELECT json_build_object(
                'position', position, 'commit_number', commit_number, 'recorded_at', recorded_at,
                'leaf_hash', encode(leaf_hash, 'base64'))
             FROM ledger.events ORDER BY position DESC LIMIT 1),
    'events', (SELECT coalesce(json_agg(known ORDER BY stream_id, version), '[]') FROM known),
    'answers', (SELECT coalesce(json_agg(json_build_object(
                    'token_id', i.token_id, 'key', i.key, 'execution_id', i.execution_id,
                    'fingerprint', translate(encode(i.fingerprint, 'base64'), E'\n', ''),
                    'status', i.status, 'location', i.location,
                    'answer', translate(encode(i.answer, 'base64'), E'\n', ''))), '[]')
                FROM unnest(%(token_ids)s::uuid[], %(keys)s::text[]) AS asked (token_id, key)
                JOIN store.idempotency i USING (token_id, key)),
    'candidates', (SELECT coalesce(json_agg(json_build_object(
                       'execution_id', c.execution_id, 'pinned_agent_id', c.pinned_agent_id,
                       'configuration', translate(encode(b.body, 'base64'), E'\n', ''))
                       ORDER BY c.execution_id), '[]')
                   FROM candidates c
                   LEFT JOIN store.configurations b ON b.digest = c.configuration)
)::text
