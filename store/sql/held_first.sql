-- Of each job the execution that has been held longest.
SELECT DISTINCT ON (id) id, execution_id FROM store.held ORDER BY id, execution_id
