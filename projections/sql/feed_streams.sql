-- The events of some streams in order of position, found by stream, whatever else is recorded.
WITH found AS MATERIALIZED (
    SELECT e.*
    FROM unnest(%(streams)s::uuid[]) AS asked (id)
    JOIN ledger.events e ON e.stream_id = asked.id
    WHERE e.position > %(after)s AND e.position <= %(upto)s {conditions}
)
SELECT e.position, e.version, e.type, e.schema_version, e.occurred_at, e.recorded_at, e.actor,
       e.command_id, e.correlation_id, e.payload, e.leaf_hash, e.stream_id, e.commit_number,
       job.job_id
FROM found e
LEFT JOIN LATERAL (
    SELECT x.job_id FROM read.executions_1 x WHERE x.id = e.stream_id
    UNION ALL
    SELECT j.job_id FROM read.jobs_1 j WHERE j.id = e.stream_id
    UNION ALL
    SELECT p.job_id FROM read.passed_times_1 p WHERE p.id = e.stream_id
    LIMIT 1
) AS job ON true
ORDER BY e.position
LIMIT %(limit)s
