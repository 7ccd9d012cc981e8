-- Pending executions with labels that some claims may take, lowest id first; sent only if an agent
-- that has labels claims. $1 is a JSON array of pin and labels: what each such agent has, once with
-- its own pin and once with '' (executions for anyone). Of each, the $2 lowest are read.
--
-- What this costs is bounded by the distinct sets of labels that wait under a pin, not by the
-- executions that wait with them: `waiting` goes from one set to the next by one look-up in
-- pending_with_labels each, and only of sets that the agent has all of are rows read, $2 at most.
WITH RECURSIVE claiming AS MATERIALIZED (
    SELECT pin, labels FROM json_to_recordset($1::json) AS asked (pin text, labels text[])
), waiting AS (
    SELECT pins.pin, first.labels
    FROM (SELECT DISTINCT pin FROM claiming) AS pins
    CROSS JOIN LATERAL (
        SELECT labels FROM store.pending p
        WHERE p.labels IS NOT NULL AND coalesce(p.pinned_agent_id, '') = pins.pin
        ORDER BY p.labels LIMIT 1
    ) AS first
    UNION ALL
    SELECT waiting.pin, next.labels
    FROM waiting
    CROSS JOIN LATERAL (
        SELECT labels FROM store.pending p
        WHERE p.labels > waiting.labels AND coalesce(p.pinned_agent_id, '') = waiting.pin
        ORDER BY p.labels LIMIT 1
    ) AS next
)
SELECT DISTINCT found.execution_id, found.pinned_agent_id, found.labels
FROM claiming
CROSS JOIN LATERAL (
    SELECT lowest.*
    FROM waiting
    CROSS JOIN LATERAL (
        SELECT p.execution_id, p.pinned_agent_id, p.labels FROM store.pending p
        WHERE p.labels = waiting.labels AND coalesce(p.pinned_agent_id, '') = waiting.pin
          AND (p.start_by IS NULL OR p.start_by > clock_timestamp())
        ORDER BY p.execution_id LIMIT $2::integer
    ) AS lowest
    WHERE waiting.pin = claiming.pin AND waiting.labels <@ claiming.labels
    ORDER BY lowest.execution_id LIMIT $2::integer
) AS found
ORDER BY found.execution_id
