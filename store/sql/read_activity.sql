-- What is active of some jobs ($1, uuid[]), and of all jobs that have a tag by which one of those is
-- limited: how many executions, how many of them held, one of them, and of jobs that cancel what
-- runs all of them. The executions' read model commits with the events, so that under the append
-- lock it is as true as they are.
WITH asked AS MATERIALIZED (
    SELECT id, job_id, tags, plan::json AS plan FROM read.jobs_1 WHERE id = ANY($1::uuid[])
), limited AS MATERIALIZED (
    SELECT DISTINCT tag
    FROM asked, json_object_keys(coalesce(plan -> 'max_concurrent_per_tag', '{}'::json)) AS tag
), concerned AS (
    SELECT id, job_id, tags, plan ->> 'overlap_policy' AS overlap FROM asked
    UNION
    SELECT j.id, j.job_id, j.tags, NULL
    FROM read.jobs_1 j
    WHERE EXISTS (SELECT 1 FROM limited WHERE limited.tag = ANY(j.tags))
      AND j.id <> ALL($1::uuid[])
)
SELECT c.id, c.job_id, c.tags, found.active, found.held, found.newest,
       CASE WHEN c.overlap = 'cancel_running' THEN found.ids END
FROM concerned c
CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE e.held IS NULL) AS active,
           count(*) FILTER (WHERE e.held IS NOT NULL) AS held,
           (array_agg(e.id ORDER BY e.id DESC))[1] AS newest,
           array_agg(e.id) AS ids
    FROM read.executions_1 e
    WHERE e.job_id = c.job_id AND e.status IN ('pending', 'running')
) AS found
