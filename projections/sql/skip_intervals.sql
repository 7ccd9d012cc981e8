-- The interval that the execution lies in that so many come before ($1, less those of former
-- intervals), and how many come before all of it; $2 and $3 as in skip_hours.sql. Read from one end
-- and no further, and grouped and summed in the order of the index, so that nothing is sorted.
SELECT starts_at, reached - here AS passed
FROM (
    SELECT job_id, starts_at, here,
           sum(here) OVER (ORDER BY job_id {direction}, starts_at {direction}) AS reached
    FROM (
        SELECT job_id, starts_at, sum(count) AS here
        FROM (
            SELECT * FROM read.statistics_{interval}s_1 s
            WHERE (s.job_id, s.starts_at) >= ($2, {lowest})
              AND (s.job_id, s.starts_at) < ($2, {beyond})
            ORDER BY s.job_id {direction}, s.starts_at {direction} LIMIT 100 + $1::bigint / 10
        ) AS counted
        WHERE status = ANY($3::text[])
        GROUP BY job_id, starts_at ORDER BY job_id {direction}, starts_at {direction}
    ) AS intervals
) AS summed
WHERE reached > $1::bigint - {former}
ORDER BY job_id {direction}, starts_at {direction} LIMIT 1
