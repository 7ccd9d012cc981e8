-- One stretch of the index, as in stretch.sql: that of the job of number {number} in $5. Said so,
-- that the planner knows it to be in order of ids: such stretches are merged, and read no further
-- than a page needs.
(
    SELECT e.id FROM read.executions_1 e
    WHERE e.job_id = ($5::text[])[{number}] AND e.id >= $3::uuid AND e.id < $4::uuid
    ORDER BY e.job_id {direction}, e.id {direction}
)
