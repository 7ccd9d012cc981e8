-- One stretch of the index by job for each job, whatever else there is.
SELECT found.*
FROM unnest(%(jobs)s::text[]) AS asked (job_id)
CROSS JOIN LATERAL (
    SELECT * FROM read.statistics_{interval}s_1 s
    WHERE (s.job_id, s.starts_at) >= (asked.job_id, %(lowest)s)
      AND (s.job_id, s.starts_at) < (asked.job_id, %(beyond)s)
    ORDER BY s.job_id, s.starts_at LIMIT %(rows_max)s
) AS found
