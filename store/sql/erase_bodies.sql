-- Removes bodies: the output of the executions $1 (uuid[]), the agents' sentences with events before a
-- version ($2, a JSON array of rows), and the configurations with the digests $3 (a JSON array of
-- hexadecimal texts).
WITH output AS (
    DELETE FROM store.output_chunks WHERE execution_id = ANY($1::uuid[])
), messages AS (
    DELETE FROM store.messages m
    USING json_to_recordset($2::json) AS r (execution_id uuid, version integer)
    WHERE m.execution_id = r.execution_id AND m.version < r.version
)
DELETE FROM store.configurations
WHERE digest = ANY(SELECT decode(value, 'hex') FROM json_array_elements_text($3::json))
