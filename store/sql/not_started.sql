-- Pending executions past their start deadline, the longest overdue first.
SELECT execution_id FROM store.pending
WHERE start_by < clock_timestamp()
ORDER BY start_by LIMIT %(limit)s
