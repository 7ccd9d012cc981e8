-- The answers that were given under some idempotency keys ($1, JSON array of token_id and key).
SELECT kept.*
FROM json_to_recordset($1::json) AS asked (token_id uuid, key text)
CROSS JOIN LATERAL (
    SELECT token_id, key, fingerprint, execution_id, status, location, answer
    FROM store.idempotency WHERE token_id = asked.token_id AND key = asked.key LIMIT 1
) AS kept
