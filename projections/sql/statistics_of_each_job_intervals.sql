-- One stretch of the primary key.
SELECT * FROM read.statistics_{interval}s_1
WHERE starts_at >= %(lowest)s AND starts_at < %(beyond)s AND job_id <> ''
