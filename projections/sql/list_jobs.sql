-- One page of jobs, newest first, each with its bodies and its newest execution. The places in
-- braces are filled with fixed fragments by job_queries.py; every value is a parameter.
SELECT j.id, j.position, j.version, j.job_id, j.status, encode(j.definition, 'hex'),
       encode(j.configuration, 'hex'), j.created_at, j.updated_at, j.due_since, j.pinned_agent_id,
       j.tags, j.plan,
       d.body, c.body,
       newest.id, newest.status, newest.started_at
FROM (
    SELECT j.* FROM read.jobs_1 j {joined}
    {conditions}
    ORDER BY j.created_at DESC, j.id DESC
    LIMIT %(limit)s OFFSET %(offset)s
) AS j
LEFT JOIN store.configurations d ON d.digest = j.definition
LEFT JOIN store.configurations c ON c.digest = j.configuration
LEFT JOIN LATERAL (
    SELECT id, status, started_at FROM read.executions_1 e
    WHERE e.job_id = j.job_id ORDER BY id DESC LIMIT 1
) AS newest ON true
ORDER BY j.created_at DESC, j.id DESC
