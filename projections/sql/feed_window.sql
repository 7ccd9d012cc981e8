-- The ledger in order between two positions: an index range, of which no more is read than is
-- asked for. The job of each is looked up one by one (LIMIT keeps the planner from
-- reading all of a job instead). The place in braces is filled with fixed fragments by feed.py.
SELECT e.position, e.version, e.type, e.schema_version, e.occurred_at, e.recorded_at, e.actor,
       e.command_id, e.correlation_id, e.payload, e.leaf_hash, e.stream_id, e.commit_number,
       job.job_id
FROM ledger.events e
LEFT JOIN LATERAL (
    SELECT x.job_id FROM read.executions_1 x WHERE x.id = e.stream_id
    UNION ALL
    SELECT j.job_id FROM read.jobs_1 j WHERE j.id = e.stream_id
    UNION ALL
    SELECT p.job_id FROM read.passed_times_1 p WHERE p.id = e.stream_id
    LIMIT 1
) AS job ON true
WHERE e.position > %(after)s AND e.position <= %(upto)s {conditions}
ORDER BY e.position
LIMIT %(limit)s
