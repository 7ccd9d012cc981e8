-- Agents' sentences that came with outcomes. $1 is a JSON array, in which bytes stand as base64.
INSERT INTO store.messages (execution_id, version, salt, body)
SELECT r.execution_id, r.version, decode(r.salt, 'base64'), decode(r.body, 'base64')
FROM json_to_recordset($1::json) AS r (execution_id uuid, version integer, salt text, body text)
