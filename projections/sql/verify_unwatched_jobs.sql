-- Jobs that run with one of some configurations (%(digests)s), each of which names a schedule, and that
-- are not watched. The row is written with the first such execution, and never removed.
SELECT e.job_id, 'is not watched, and its execution ' || min(e.id::text) || ' names a schedule'
FROM unnest(%(digests)s::bytea[]) AS named (digest)
JOIN read.executions_1 e ON e.configuration = named.digest
WHERE NOT EXISTS (SELECT FROM store.expected_jobs j WHERE j.job_id = e.job_id)
GROUP BY e.job_id ORDER BY 1
