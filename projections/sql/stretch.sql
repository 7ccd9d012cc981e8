-- $1 + $2 at most of the executions with these values within [$3, $4), read from one end. Rows are
-- compared with both ends of a stretch of the index, and ordered by all of it, so that no other
-- index, nor any other plan, will do.
SELECT e.id FROM read.executions_1 e
WHERE ({columns}) >= ({values}, $3::uuid) AND ({columns}) < ({values}, $4::uuid)
ORDER BY {order} LIMIT $1::bigint + $2::bigint
