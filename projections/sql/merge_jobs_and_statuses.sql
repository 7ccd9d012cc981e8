-- The same (see merge_jobs.sql) of a job ($7) with a status ($5) and a trigger ($6).
(
    SELECT e.id FROM read.executions_1 e
    WHERE e.job_id = ($7::text[])[{number}]
      AND e.status = ($5::text[])[{number}] AND e.triggered_by = ($6::text[])[{number}]
      AND e.id >= $3::uuid AND e.id < $4::uuid
    ORDER BY e.job_id {direction}, e.status {direction}, e.triggered_by {direction},
             e.id {direction}
)
