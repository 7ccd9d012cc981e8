-- Pending executions that some claims may take, lowest id first: $1 of those that any agent may
-- run, and of those pinned to each of the agents $2 (text[]) as many as $3 (integer[]) says.
(SELECT execution_id, pinned_agent_id FROM store.pending
 WHERE pinned_agent_id IS NULL ORDER BY execution_id LIMIT $1::integer)
UNION ALL
SELECT pinned.* FROM unnest($2::text[], $3::integer[]) AS claiming (agent_id, candidates)
CROSS JOIN LATERAL (
    SELECT execution_id, pinned_agent_id FROM store.pending
    WHERE pinned_agent_id = claiming.agent_id
    ORDER BY pinned_agent_id, execution_id LIMIT claiming.candidates
) AS pinned
