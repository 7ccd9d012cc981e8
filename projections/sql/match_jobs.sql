-- The ids of the executions of some jobs ($5), $1 + $2 at most of each, within [$3, $4): a stretch
-- (stretch.sql) of the index for each.
SELECT found.id
FROM unnest($5::text[]) AS asked (job_id)
CROSS JOIN LATERAL ({stretch}) AS found
