-- The inline projection of jobs: rows of those that a batch changed. $1 is a JSON array of rows.
INSERT INTO read.jobs_1 AS kept (
    id, position, version, job_id, status, definition, configuration, created_at, updated_at,
    due_since, pinned_agent_id, tags, plan)
SELECT r.id, r.position, r.version, r.job_id, r.status, decode(r.definition, 'hex'),
       decode(r.configuration, 'hex'), r.created_at, r.updated_at, r.due_since, r.pinned_agent_id,
       r.tags, r.plan
FROM json_to_recordset($1::json) AS r (
    id uuid, position bigint, version integer, job_id text, status text, definition text,
    configuration text, created_at timestamptz, updated_at timestamptz, due_since timestamptz,
    pinned_agent_id text, tags text[], plan text)
ON CONFLICT (id) DO UPDATE SET
    position = excluded.position, version = excluded.version, status = excluded.status,
    definition = excluded.definition, configuration = excluded.configuration,
    created_at = excluded.created_at, updated_at = excluded.updated_at,
    due_since = excluded.due_since, pinned_agent_id = excluded.pinned_agent_id,
    tags = excluded.tags, plan = excluded.plan
WHERE kept.position < excluded.position
