-- The counts of some jobs ($1), or of all under the name '', by status and trigger.
SELECT job_id,
       pending_scheduled, pending_manual, pending_retry,
       running_scheduled, running_manual, running_retry,
       success_scheduled, success_manual, success_retry,
       failed_scheduled, failed_manual, failed_retry,
       timeout_scheduled, timeout_manual, timeout_retry,
       canceled_scheduled, canceled_manual, canceled_retry
FROM read.totals_1 WHERE job_id = ANY($1::text[])
