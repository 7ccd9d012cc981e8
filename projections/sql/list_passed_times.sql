-- Due times on which nothing ran, what was recorded last first. The places in braces are filled with
-- fixed fragments by passed_times.py; every value is a parameter.
SELECT p.id, p.position, p.version, p.job_id, p.kind, p.first_due_at, p.last_due_at, p.count,
       p.reason, p.blocked_by, e.recorded_at, c.body
FROM (
    SELECT * FROM read.passed_times_1 p
    WHERE {conditions}
    ORDER BY p.position DESC LIMIT %(limit)s
) AS p
JOIN ledger.events e ON e.position = p.position
LEFT JOIN read.jobs_1 j ON j.job_id = p.job_id
LEFT JOIN store.configurations c ON c.digest = j.configuration
ORDER BY p.position DESC
