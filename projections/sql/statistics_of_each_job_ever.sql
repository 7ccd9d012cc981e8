-- A handful of rows for each job.
SELECT NULL::timestamptz AS starts_at, * FROM read.statistics_ever_1
WHERE job_id <> ''
