-- Leases that claims got. $1 to $5 are the columns of rows.
INSERT INTO store.leases (execution_id, fence, agent_id, expires_at, deadline_at)
SELECT unnest($1::uuid[]), unnest($2::uuid[]), unnest($3::text[]),
       clock_timestamp() + make_interval(secs => unnest($4::float8[])),
       clock_timestamp() + make_interval(secs => unnest($5::float8[]))
