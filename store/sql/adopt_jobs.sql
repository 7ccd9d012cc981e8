-- Jobs of which nobody has noted how far their times are settled, as in an import: as far as
-- their facts go, or since they are due. Two look-ups a job.
INSERT INTO store.schedules (id, settled_until, look_at)
SELECT j.id, greatest(j.due_since, ran.until, passed.until), '-infinity'
FROM read.jobs_1 j
LEFT JOIN LATERAL (
    SELECT scheduled_for AS until FROM read.executions_1 e
    WHERE e.job_id = j.job_id AND e.triggered_by = 'scheduled'
      AND e.scheduled_for <= clock_timestamp()
    ORDER BY e.id DESC LIMIT 1
) AS ran ON true
LEFT JOIN LATERAL (
    SELECT last_due_at AS until FROM read.passed_times_1 p
    WHERE p.job_id = j.job_id ORDER BY p.position DESC LIMIT 1
) AS passed ON true
WHERE NOT EXISTS (SELECT 1 FROM store.schedules s WHERE s.id = j.id)
ON CONFLICT DO NOTHING
