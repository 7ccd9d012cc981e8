-- Executions ($1, uuid[]) that wait no more. As a set of unknown size they could be planned, while the
-- queue is short, as a read of all of it.
DELETE FROM store.pending WHERE execution_id = ANY($1::uuid[])
