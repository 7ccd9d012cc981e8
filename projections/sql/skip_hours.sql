-- Where a page begins that so many ($1) executions come before, to the hour in which it was
-- created: the hour, and how many come before all of it. They are those of one job ($2, '' is all)
-- that ended with some status ($3). Nothing is found where there are so many rows of counts that to
-- read the entries of the index themselves costs no more.
SELECT hour.starts_at, (day.passed + hour.passed)::bigint
FROM ({days}) AS day CROSS JOIN LATERAL ({hours}) AS hour
