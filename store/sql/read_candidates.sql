-- Pending executions that some claims may take, lowest id first: $1 of those that any agent may
-- run, and of those pinned to each of the agents $2 (text[]) as many as $3 (integer[]) says. Those
-- that ask for labels are read_labelled.sql's. One past its start deadline is nobody's any more; the
-- sweep takes it away within a second or so, so that few are read past.
(SELECT execution_id, pinned_agent_id, labels FROM store.pending
 WHERE pinned_agent_id IS NULL AND labels IS NULL
   AND (start_by IS NULL OR start_by > clock_timestamp())
 ORDER BY execution_id LIMIT $1::integer)
UNION ALL
SELECT pinned.* FROM unnest($2::text[], $3::integer[]) AS claiming (agent_id, candidates)
CROSS JOIN LATERAL (
    SELECT execution_id, pinned_agent_id, labels FROM store.pending
    WHERE pinned_agent_id = claiming.agent_id AND labels IS NULL
      AND (start_by IS NULL OR start_by > clock_timestamp())
    ORDER BY pinned_agent_id, execution_id LIMIT claiming.candidates
) AS pinned
