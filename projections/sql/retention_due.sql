-- Executions whose output retention takes: of each class (success, and all else that has ended) what
-- ended longer ago than it says, and the oldest of what is more than it says. Null means no limit.
-- One pass over the rows of output that is kept, not over its bytes.
WITH kept AS (
    SELECT o.execution_id, o.bytes, e.status = 'success' AS succeeded,
           coalesce(e.completed_at < now() - make_interval(secs => 86400 *
               CASE WHEN e.status = 'success' THEN %(success_days)s::double precision
                    ELSE %(failure_days)s::double precision END), false) AS is_old
    FROM (
        SELECT execution_id, sum(kept_bytes)::bigint AS bytes
        FROM store.outputs WHERE erased_at IS NULL GROUP BY execution_id
    ) AS o
    JOIN read.executions_1 e ON e.id = o.execution_id
    WHERE e.completed_at IS NOT NULL AND o.bytes > 0
), judged AS (
    SELECT execution_id, bytes, succeeded,
           is_old OR coalesce(
               sum(bytes) OVER (PARTITION BY succeeded, is_old ORDER BY execution_id DESC) >
               CASE WHEN succeeded THEN %(success_bytes)s::bigint
                    ELSE %(failure_bytes)s::bigint END, false) AS is_due
    FROM kept
)
{question}
