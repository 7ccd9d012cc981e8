-- The same (see stretch.sql) for PostgreSQL before 18, which ends a scan at a comparison of rows only
-- where their first column changes: behind a stretch of few rows it would read through most of the
-- index. So no more entries are read than are asked for, and those beyond the stretch left out then.
SELECT e.id FROM (
    SELECT {columns} FROM read.executions_1 e
    WHERE ({columns}) {near} AND {first}
    ORDER BY {order} LIMIT $1::bigint + $2::bigint
) AS e
WHERE ({columns}) {far}
