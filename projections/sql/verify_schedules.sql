-- How far the times of jobs are settled, against the jobs: each has one row from its first event on, also
-- while it is paused and after it was deleted, since it may come back.
SELECT coalesce(j.job_id, s.id::text), CASE
    WHEN s.id IS NULL THEN 'is a job, and nobody looks when it is due'
    ELSE 'is looked at when it is due, and is no job' END
FROM read.jobs_1 j
FULL JOIN store.schedules s ON s.id = j.id
WHERE j.id IS NULL OR s.id IS NULL
ORDER BY 1
