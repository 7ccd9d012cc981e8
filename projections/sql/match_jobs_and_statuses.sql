-- The same (see match_jobs.sql) of some jobs ($7) with some status ($5) and some trigger ($6).
SELECT found.id
FROM unnest($7::text[]) AS asked (job_id)
CROSS JOIN unnest($5::text[]) AS that (status)
CROSS JOIN unnest($6::text[]) AS also (triggered_by)
CROSS JOIN LATERAL (
    SELECT e.id FROM read.executions_1 e
    WHERE (e.job_id, e.status, e.triggered_by, e.id)
              >= (asked.job_id, that.status, also.triggered_by, $3::uuid)
      AND (e.job_id, e.status, e.triggered_by, e.id)
              < (asked.job_id, that.status, also.triggered_by, $4::uuid)
    ORDER BY e.job_id {direction}, e.status {direction}, e.triggered_by {direction},
             e.id {direction}
    LIMIT $1::bigint + $2::bigint
) AS found
