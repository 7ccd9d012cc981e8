-- The same (see match_jobs.sql) of some jobs ($7) with some status ($5) and some trigger ($6).
SELECT found.id
FROM unnest($7::text[]) AS asked (job_id)
CROSS JOIN unnest($5::text[]) AS that (status)
CROSS JOIN unnest($6::text[]) AS also (triggered_by)
CROSS JOIN LATERAL ({stretch}) AS found
