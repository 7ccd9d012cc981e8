-- Which configurations and definitions are not as the log says. $1 the digests that events erased and
-- nothing named since, $2 those that jobs ever had (both bytea[]), $3 whether all events can be read:
-- one that cannot may have erased any.
SELECT encode(c.digest, 'hex'), 'was erased by an event, and is there'
FROM store.configurations c WHERE $3::boolean AND c.digest = ANY($1::bytea[])
UNION ALL
SELECT encode(c.digest, 'hex'), 'is not what its digest says'
FROM store.configurations c WHERE sha256(c.salt || c.body) <> c.digest
UNION ALL
SELECT encode(named.digest, 'hex'), 'is missing, and no event erased it'
FROM (SELECT configuration FROM read.executions_1 UNION SELECT unnest($2::bytea[])) AS named (digest)
WHERE $3::boolean AND NOT EXISTS (SELECT FROM store.configurations c WHERE c.digest = named.digest)
  AND NOT EXISTS (SELECT FROM unnest($1::bytea[]) AS gone (digest) WHERE gone.digest = named.digest)
LIMIT 1
