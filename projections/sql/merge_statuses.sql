-- The same (see merge_jobs.sql) of a status ($5) with a trigger ($6), both of number {number}.
(
    SELECT e.id FROM read.executions_1 e
    WHERE e.status = ($5::text[])[{number}] AND e.triggered_by = ($6::text[])[{number}]
      AND e.id >= $3::uuid AND e.id < $4::uuid
    ORDER BY e.status {direction}, e.triggered_by {direction}, e.id {direction}
)
