-- Executions that wait for an agent from now on. $1 to $5 are the columns of rows.
INSERT INTO store.pending (execution_id, pinned_agent_id, configuration, labels, start_by)
SELECT unnest($1::uuid[]), unnest($2::text[]), decode(unnest($3::text[]), 'hex'),
       unnest($4::text[])::text[], clock_timestamp() + make_interval(secs => unnest($5::float8[]))
