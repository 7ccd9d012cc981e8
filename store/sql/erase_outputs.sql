-- Marks both output streams of some executions ($1, uuid[]) as erased at $2. The rows stay locked until
-- the commit, so that no chunk comes in between; the chunks go with erase_bodies.sql, which must be
-- a later statement to see those that came just before.
INSERT INTO store.outputs (execution_id, stream, salt, erased_at)
SELECT asked.execution_id, streams.stream, '', $2::timestamptz
FROM unnest($1::uuid[]) AS asked (execution_id)
CROSS JOIN (VALUES (1::smallint), (2::smallint)) AS streams (stream)
ORDER BY asked.execution_id, streams.stream
ON CONFLICT (execution_id, stream) DO UPDATE SET
    salt = '', preview = '', kept_bytes = 0, omitted_from = NULL, omitted_to = NULL,
    erased_at = excluded.erased_at
