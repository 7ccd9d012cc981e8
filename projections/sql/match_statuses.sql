-- The same (see match_jobs.sql) of executions with some status ($5) and some trigger ($6).
SELECT found.id
FROM unnest($5::text[]) AS asked (status)
CROSS JOIN unnest($6::text[]) AS also (triggered_by)
CROSS JOIN LATERAL (
    SELECT e.id FROM read.executions_1 e
    WHERE (e.status, e.triggered_by, e.id) >= (asked.status, also.triggered_by, $3::uuid)
      AND (e.status, e.triggered_by, e.id) < (asked.status, also.triggered_by, $4::uuid)
    ORDER BY e.status {direction}, e.triggered_by {direction}, e.id {direction}
    LIMIT $1::bigint + $2::bigint
) AS found
