-- Jobs of which some execution named the schedule that it was expected by. $1 is a JSON array.
INSERT INTO store.expected_jobs (job_id, since)
SELECT r.job_id, r.since FROM json_to_recordset($1::json) AS r (job_id text, since uuid)
ON CONFLICT DO NOTHING
