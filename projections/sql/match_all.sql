-- The ids of all executions, $1 + $2 at most, within [$3, $4).
SELECT id FROM read.executions_1
WHERE id >= $3::uuid AND id < $4::uuid
ORDER BY id {direction} LIMIT $1::bigint + $2::bigint
