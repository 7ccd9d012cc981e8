-- The ids of the executions of some jobs ($5), $1 + $2 at most of each, within [$3, $4). Rows are
-- compared with both ends of a stretch of the index, and ordered by all of it, so that no other
-- index, nor any other plan, will do.
SELECT found.id
FROM unnest($5::text[]) AS asked (job_id)
CROSS JOIN LATERAL (
    SELECT e.id FROM read.executions_1 e
    WHERE (e.job_id, e.id) >= (asked.job_id, $3::uuid)
      AND (e.job_id, e.id) < (asked.job_id, $4::uuid)
    ORDER BY e.job_id {direction}, e.id {direction}
    LIMIT $1::bigint + $2::bigint
) AS found
