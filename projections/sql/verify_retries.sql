-- Retries and their originals, each of which must know of the other.
SELECT e.id::text, CASE
    WHEN o.id IS NULL THEN 'is a retry of ' || e.retry_of || ', which does not exist'
    WHEN o.retried_as IS NULL THEN 'is a retry that its original does not know of'
    ELSE 'is not its original ' || o.id || ' with attempt + 1' END
FROM read.executions_1 e
LEFT JOIN read.executions_1 o ON o.id = e.retry_of
WHERE e.retry_of IS NOT NULL
  AND (o.id IS NULL OR o.retried_as IS NULL OR e.attempt <> o.attempt + 1
       OR e.root_id <> o.root_id OR e.job_id <> o.job_id OR e.configuration <> o.configuration
       OR e.triggered_by <> 'retry')
UNION ALL
SELECT o.id::text, 'was retried as ' || o.retried_as || ', which is no retry of it'
FROM read.executions_1 o
LEFT JOIN read.executions_1 e ON e.id = o.retried_as AND e.retry_of = o.id
WHERE o.retried_as IS NOT NULL AND e.id IS NULL
UNION ALL
SELECT e.id::text, 'is no retry, yet attempt or root say so'
FROM read.executions_1 e
WHERE e.retry_of IS NULL AND (e.attempt <> 1 OR e.root_id <> e.id)
