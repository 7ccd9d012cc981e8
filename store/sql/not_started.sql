-- Pending executions past their start deadline, the longest overdue first.
SELECT execution_id FROM (
    SELECT execution_id, start_by FROM store.pending WHERE start_by < clock_timestamp()
    UNION ALL
    SELECT execution_id, start_by FROM store.held WHERE start_by < clock_timestamp()
) AS waiting
ORDER BY start_by LIMIT %(limit)s
