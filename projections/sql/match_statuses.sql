-- The same (see match_jobs.sql) of executions with some status ($5) and some trigger ($6).
SELECT found.id
FROM unnest($5::text[]) AS asked (status)
CROSS JOIN unnest($6::text[]) AS also (triggered_by)
CROSS JOIN LATERAL ({stretch}) AS found
