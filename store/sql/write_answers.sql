-- Answers that are kept under idempotency keys. $1 to $7 are the columns of rows.
INSERT INTO store.idempotency (
    token_id, key, fingerprint, execution_id, status, location, answer, recorded_at)
SELECT unnest($1::uuid[]), unnest($2::text[]), unnest($3::bytea[]), unnest($4::uuid[]),
       unnest($5::smallint[]), unnest($6::text[]), unnest($7::bytea[]), clock_timestamp()
