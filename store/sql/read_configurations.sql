-- Of some configurations ($1, a JSON array of hexadecimal digests): whether each is there, and whether a
-- pending execution waits with it.
SELECT asked.digest,
       EXISTS (SELECT 1 FROM store.configurations c WHERE c.digest = decode(asked.digest, 'hex')),
       asked.waits AND EXISTS (
           SELECT 1 FROM store.pending p WHERE p.configuration = decode(asked.digest, 'hex'))
FROM json_to_recordset($1::json) AS asked (digest text, waits boolean)
