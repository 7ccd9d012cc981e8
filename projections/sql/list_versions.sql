-- What list_executions.sql reads, by the versions of its rows alone: PostgreSQL names in each row the
-- transaction that wrote it. While these are the same nothing has changed, in no text either: a
-- message is written, and removed, with a version of its execution's row.
SELECT e.id, e.xmin, c.xmin,
       ARRAY(SELECT o.xmin FROM store.outputs o WHERE o.execution_id = e.id ORDER BY o.stream)
FROM (
    {chosen}
) AS e
LEFT JOIN store.configurations c ON c.digest = e.configuration
ORDER BY e.id DESC
