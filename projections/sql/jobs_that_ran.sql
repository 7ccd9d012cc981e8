-- Which of some jobs have an execution that was created in [lowest, beyond), by its id.
SELECT asked.job_id
FROM unnest(%(jobs)s::text[], %(lowest)s::uuid[], %(beyond)s::uuid[])
    AS asked (job_id, lowest, beyond)
WHERE EXISTS (
    SELECT 1 FROM read.executions_1 e
    WHERE e.job_id = asked.job_id AND e.id >= asked.lowest AND e.id < asked.beyond)
