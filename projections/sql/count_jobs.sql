-- How many jobs match: there are few.
SELECT count(*) FROM read.jobs_1 j {joined} {conditions}
