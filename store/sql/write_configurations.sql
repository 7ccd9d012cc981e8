-- Configurations that came with a batch. $1 to $3 are the columns of rows: digests in hexadecimal.
INSERT INTO store.configurations (digest, salt, body)
SELECT decode(unnest($1::text[]), 'hex'), unnest($2::bytea[]), unnest($3::bytea[])
ON CONFLICT DO NOTHING
