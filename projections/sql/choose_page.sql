-- One page of the executions that `matching` finds: $1 is how many, $2 how many come before them.
-- Every one that is found has a row: the outer join says so to the planner, which then has to look
-- them up one by one.
SELECT e.*, e.xmin
FROM (
    SELECT matched.id FROM ({matching}) AS matched
    ORDER BY matched.id {direction} LIMIT $1::bigint OFFSET $2::bigint
) AS page
LEFT JOIN read.executions_1 e ON e.id = page.id
