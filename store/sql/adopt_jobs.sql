-- Jobs of which nobody has noted how far their times are settled, as after an import: as far as
-- their facts go, or since they are due.
INSERT INTO store.schedules (id, settled_until, look_at)
SELECT j.id, greatest(j.due_since, ran.until, passed.until), '-infinity'
FROM read.jobs_1 j
CROSS JOIN LATERAL (
    SELECT max(scheduled_for) AS until FROM read.executions_1 e
    WHERE e.job_id = j.job_id AND e.triggered_by = 'scheduled'
) AS ran
CROSS JOIN LATERAL (
    SELECT max(last_due_at) AS until FROM read.passed_times_1 p WHERE p.job_id = j.job_id
) AS passed
WHERE NOT EXISTS (SELECT 1 FROM store.schedules s WHERE s.id = j.id)
ON CONFLICT DO NOTHING
