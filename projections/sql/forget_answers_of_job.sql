-- Answers kept under idempotency keys that show a job (its stream), or executions of it with some
-- configurations: they are built anew from here on.
UPDATE store.idempotency AS kept SET answer = NULL
WHERE kept.answer IS NOT NULL AND (
    kept.execution_id = %(stream)s
    OR kept.execution_id IN (
        SELECT e.id FROM read.executions_1 AS e
        WHERE e.job_id = %(job_id)s AND e.configuration = ANY(%(digests)s)))
