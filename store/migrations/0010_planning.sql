-- How many different values these columns have, for the planner: what it counts itself may be old, and in
-- a young ledger all executions are of one job, status and trigger. Then these seemed to choose nothing,
-- and deep pages were read in order of ids, past all executions of other ones. 200 is what the planner takes
-- where it knows nothing, for which lists are planned well.
ALTER TABLE read.executions_1
    ALTER COLUMN job_id SET (n_distinct = 200),
    ALTER COLUMN status SET (n_distinct = 200),
    ALTER COLUMN triggered_by SET (n_distinct = 200);
-- What is told counts from the next ANALYZE on. An empty table had better stay unknown: of one that is known
-- to be empty the planner believes that it stays so.
DO $$
BEGIN
    IF EXISTS (SELECT 1 FROM read.executions_1) THEN
        ANALYZE read.executions_1;
    END IF;
END $$;
