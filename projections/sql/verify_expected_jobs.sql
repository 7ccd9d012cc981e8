-- Jobs that are expected since an execution that is not theirs.
SELECT j.job_id, 'is expected since ' || j.since || ', which is no execution of it'
FROM store.expected_jobs j
LEFT JOIN read.executions_1 e ON e.id = j.since AND e.job_id = j.job_id
WHERE e.id IS NULL
