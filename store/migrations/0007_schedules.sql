-- What the scheduler works with: how far each job's times are settled, which executions are held,
-- and the read model of the due times on which nothing ran.

-- While this runs nothing is recorded: what is filled here stands where the jobs stand.
SELECT pg_advisory_xact_lock(1668443502);

-- One row a job. Each due time up to `settled_until` has its fact in the ledger; both are written in
-- one transaction. `look_at` is when the next one comes: -infinity if the job was changed and nobody
-- has looked since, null if none comes.
CREATE TABLE store.schedules (
    id             uuid        PRIMARY KEY,
    settled_until  timestamptz NOT NULL,
    look_at        timestamptz
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
CREATE INDEX schedules_by_time ON store.schedules (look_at) WHERE look_at IS NOT NULL;

-- Of jobs that were defined when nothing was scheduled yet no time was missed.
INSERT INTO store.schedules (id, settled_until, look_at)
SELECT id, greatest(due_since, clock_timestamp()), '-infinity' FROM read.jobs_1;

-- Pending executions that no agent may take yet, because others have to end first; `id` is the job.
-- One that is released moves to store.pending.
CREATE TABLE store.held (
    execution_id  uuid        PRIMARY KEY,
    id            uuid        NOT NULL,
    start_by      timestamptz
);
CREATE INDEX held_by_job ON store.held (id, execution_id);

GRANT SELECT, INSERT, UPDATE, DELETE ON store.schedules, store.held TO cronledger_server;

ALTER TABLE read.executions_1 ADD COLUMN held text;

-- One row a stream of due times on which nothing ran: exactly the fold of its one event.
CREATE TABLE read.passed_times_1 (
    id            uuid        PRIMARY KEY,
    position      bigint      NOT NULL,
    version       integer     NOT NULL,
    job_id        text        NOT NULL,
    kind          text        NOT NULL,
    first_due_at  timestamptz NOT NULL,
    last_due_at   timestamptz NOT NULL,
    count         integer,
    reason        text        NOT NULL,
    blocked_by    uuid
);
CREATE INDEX passed_times_1_by_job ON read.passed_times_1 (job_id, position);
CREATE INDEX passed_times_1_by_position ON read.passed_times_1 (position);

INSERT INTO read.projections (name, version, position)
SELECT 'passed_times', 1, coalesce(max(position), 0) FROM ledger.events;

GRANT SELECT, INSERT, UPDATE, DELETE ON read.passed_times_1 TO cronledger_server;
