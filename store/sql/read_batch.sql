-- Everything a batch must know, read under the append lock in one round trip, as one document.
-- Parameters: $1 streams (uuid[]), $2 idempotency keys (JSON array of token_id and key), $3 claiming
-- agents (JSON array of agent_id and candidates), $4 number of unpinned candidates, $5 and $6 the
-- position up to which the writer knows the log, and its leaf hash (null: it knows nothing). Payloads
-- travel as hexadecimal: one that is no text must not stop the others.
WITH candidates AS MATERIALIZED (
    (SELECT execution_id, pinned_agent_id FROM store.pending
     WHERE pinned_agent_id IS NULL ORDER BY execution_id LIMIT $4::integer)
    UNION ALL
    SELECT pinned.* FROM json_to_recordset($3::json) AS claiming (agent_id text, candidates integer)
    CROSS JOIN LATERAL (
        SELECT execution_id, pinned_agent_id FROM store.pending
        WHERE pinned_agent_id = claiming.agent_id
        ORDER BY pinned_agent_id, execution_id LIMIT claiming.candidates
    ) AS pinned
), news AS (
    SELECT position, stream_id, version, type, schema_version, occurred_at, command_id,
           encode(payload, 'hex') AS payload
    FROM ledger.events WHERE position > $5::bigint ORDER BY position LIMIT 1001
), known AS (
    -- LIMIT keeps the planner to one index lookup a stream, whatever its statistics say.
    SELECT history.* FROM unnest($1::uuid[]) AS asked (stream_id) CROSS JOIN LATERAL (
        SELECT stream_id, version, type, schema_version, occurred_at, command_id,
               encode(payload, 'hex') AS payload
        FROM ledger.events e WHERE e.stream_id = asked.stream_id ORDER BY version LIMIT 10000
    ) AS history
)
SELECT json_build_object(
    'now', clock_timestamp(),
    'head', (SELECT json_build_object(
                'position', position, 'commit_number', commit_number, 'recorded_at', recorded_at,
                'leaf_hash', encode(leaf_hash, 'base64'))
             FROM ledger.events ORDER BY position DESC LIMIT 1),
    'events', (SELECT coalesce(json_agg(known ORDER BY stream_id, version), '[]') FROM known),
    'news', CASE WHEN (SELECT leaf_hash FROM ledger.events WHERE position = $5::bigint)
                      = decode($6, 'hex') AND (SELECT count(*) FROM news) < 1001
                 THEN (SELECT coalesce(json_agg(news ORDER BY position), '[]') FROM news) END,
    'answers', (SELECT coalesce(json_agg(json_build_object(
                    'token_id', i.token_id, 'key', i.key, 'execution_id', i.execution_id,
                    'fingerprint', translate(encode(i.fingerprint, 'base64'), E'\n', ''),
                    'status', i.status, 'location', i.location,
                    'answer', translate(encode(i.answer, 'base64'), E'\n', ''))), '[]')
                FROM json_to_recordset($2::json) AS asked (token_id uuid, key text)
                CROSS JOIN LATERAL (
                    SELECT * FROM store.idempotency
                    WHERE token_id = asked.token_id AND key = asked.key LIMIT 1) AS i),
    'candidates', (SELECT coalesce(json_agg(json_build_object(
                       'execution_id', c.execution_id, 'pinned_agent_id', c.pinned_agent_id)
                       ORDER BY c.execution_id), '[]')
                   FROM candidates c)
)::text
