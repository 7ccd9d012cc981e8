-- The inline projection of due times on which nothing ran. $1 is a JSON array of rows.
INSERT INTO read.passed_times_1 (
    id, position, version, job_id, kind, first_due_at, last_due_at, count, reason, blocked_by)
SELECT r.id, r.position, r.version, r.job_id, r.kind, r.first_due_at, r.last_due_at, r.count,
       r.reason, r.blocked_by
FROM json_to_recordset($1::json) AS r (
    id uuid, position bigint, version integer, job_id text, kind text, first_due_at timestamptz,
    last_due_at timestamptz, count integer, reason text, blocked_by uuid)
ON CONFLICT (id) DO NOTHING
