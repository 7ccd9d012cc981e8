-- Configurations that are not what their digest says, or that some execution names and are missing.
-- Subject: the digest. A missing one is said once, however many executions share it.
SELECT encode(digest, 'hex'), 'is not what its digest says'
FROM store.configurations WHERE sha256(salt || body) <> digest
UNION ALL
SELECT encode(e.configuration, 'hex'),
       'is missing, and named by ' || count(*) || ' executions, first ' || min(e.id::text)
FROM read.executions_1 e
LEFT JOIN store.configurations c ON c.digest = e.configuration
WHERE c.digest IS NULL
GROUP BY e.configuration
