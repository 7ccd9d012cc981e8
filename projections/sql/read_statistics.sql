-- The statistics of some jobs, or of all under the name '', by interval: how many ended how, and
-- how many in each class of duration. The place in braces is filled with a statement of fixed text.
SELECT starts_at, job_id, status, sum(count)::bigint, max(duration_max_ms), max(last_at),
       array_agg(duration_class::integer), array_agg(count)
FROM (
    {source}
    LIMIT %(rows_max)s
) AS chosen
GROUP BY starts_at, job_id, status
ORDER BY starts_at, job_id
