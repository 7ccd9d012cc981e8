-- Answers that are kept under idempotency keys. $1 is a JSON array, in which bytes stand as base64.
INSERT INTO store.idempotency (
    token_id, key, fingerprint, execution_id, status, location, answer, recorded_at)
SELECT r.token_id, r.key, decode(r.fingerprint, 'base64'), r.execution_id, r.status,
       r.location, decode(r.answer, 'base64'), clock_timestamp()
FROM json_to_recordset($1::json) AS r (
    token_id uuid, key text, fingerprint text, execution_id uuid, status smallint,
    location text, answer text)
