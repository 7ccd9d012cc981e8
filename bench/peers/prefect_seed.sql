-- Flow runs over the year before now, each with its final state: copies of one completed run.
SET LOCAL session_replication_role = replica;

CREATE TEMPORARY TABLE seeded ON COMMIT DROP AS
SELECT n, gen_random_uuid() AS run_id, gen_random_uuid() AS run_state_id,
       now() - n * (interval '365 days' / {count}) AS began
FROM generate_series(1, {count}) AS n;

INSERT INTO flow_run (id, name, state_id, idempotency_key, created, expected_start_time,
    start_time, end_time, state_timestamp, {flow_run_columns})
SELECT run_id, 'run-' || n, run_state_id, NULL, began, began,
       began, began + interval '1 second', began + interval '1 second', {flow_run_columns}
FROM seeded, (SELECT * FROM flow_run WHERE state_type = 'COMPLETED' LIMIT 1) AS one;

INSERT INTO flow_run_state (id, flow_run_id, timestamp, {flow_run_state_columns})
SELECT run_state_id, run_id, began + interval '1 second', {flow_run_state_columns}
FROM seeded, (SELECT * FROM flow_run_state WHERE type = 'COMPLETED' LIMIT 1) AS one;
