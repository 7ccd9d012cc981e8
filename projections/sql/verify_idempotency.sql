-- Kept answers that name an execution that does not exist, or another than they show; and executions
-- that were the answer to two claims.
SELECT k.key, 'names the execution ' || k.execution_id || ', which does not exist'
FROM store.idempotency k
WHERE NOT EXISTS (SELECT 1 FROM ledger.events e WHERE e.stream_id = k.execution_id)
UNION ALL
SELECT k.key, 'answers another execution than its location ' || k.location
FROM store.idempotency k
WHERE k.location IS NOT NULL AND k.answer IS NOT NULL
  AND position(convert_to('"' || regexp_replace(k.location, '^.*/', '') || '"', 'UTF8')
               IN k.answer) = 0
UNION ALL
SELECT min(k.key), 'and ' || count(*) - 1 || ' more claims got the execution ' || k.execution_id
FROM store.idempotency k
WHERE k.key LIKE 'Claim-Id%'
GROUP BY k.execution_id HAVING count(*) > 1
