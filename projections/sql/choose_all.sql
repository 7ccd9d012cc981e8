-- One page of all executions within [$3, $4), as in choose_page.sql, but read in the order of the
-- index, with no look-up of what was found: for pages that few come before.
SELECT e.*, e.xmin
FROM read.executions_1 e
WHERE e.id >= $3::uuid AND e.id < $4::uuid
ORDER BY e.id {direction} LIMIT $1::bigint OFFSET $2::bigint
