-- Answers kept under idempotency keys that show a configuration: they are built anew from here on.
UPDATE store.idempotency AS kept SET answer = NULL
FROM read.executions_1 AS e
WHERE e.job_id = %(job_id)s AND e.configuration = decode(%(digest)s, 'hex')
  AND kept.execution_id = e.id AND kept.answer IS NOT NULL
