-- Of some configurations ($1, a JSON array of hexadecimal digests): whether each is there, and whether a
-- pending execution waits with it, for an agent or for room. Of the latter each is looked up by its id:
-- a join might read all executions, under the append lock.
SELECT asked.digest,
       EXISTS (SELECT 1 FROM store.configurations c WHERE c.digest = decode(asked.digest, 'hex')),
       asked.waits AND (
           EXISTS (SELECT 1 FROM store.pending p WHERE p.configuration = decode(asked.digest, 'hex'))
           OR EXISTS (
               SELECT 1 FROM store.held h
               WHERE decode(asked.digest, 'hex') = (
                   SELECT e.configuration FROM read.executions_1 e WHERE e.id = h.execution_id)))
FROM json_to_recordset($1::json) AS asked (digest text, waits boolean)
