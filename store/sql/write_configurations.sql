-- Configurations that came with a batch. $1 is a JSON array: digests in hexadecimal, bytes as base64.
INSERT INTO store.configurations (digest, salt, body)
SELECT decode(r.digest, 'hex'), decode(r.salt, 'base64'), decode(r.body, 'base64')
FROM json_to_recordset($1::json) AS r (digest text, salt text, body text)
ON CONFLICT DO NOTHING
