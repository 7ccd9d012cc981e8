-- Jobs: the second aggregate's read model. One row a job that ever was, exactly the fold of its
-- events; `id` is its stream, `plan` the JSON of what it is decided by. Names and other texts are
-- joined from the bodies (store.configurations).

CREATE TABLE read.jobs_1 (
    id               uuid        PRIMARY KEY,
    position         bigint      NOT NULL,
    version          integer     NOT NULL,
    job_id           text        NOT NULL,
    status           text        NOT NULL,
    definition       bytea       NOT NULL,
    configuration    bytea       NOT NULL,
    created_at       timestamptz NOT NULL,
    updated_at       timestamptz NOT NULL,
    due_since        timestamptz NOT NULL,
    pinned_agent_id  text,
    tags             text[],
    plan             text        NOT NULL
);
CREATE INDEX jobs_1_by_age ON read.jobs_1 (created_at, id) WHERE status <> 'deleted';

-- A ledger of before has no job, so this is true of its head.
INSERT INTO read.projections (name, version, position)
SELECT 'jobs', 1, coalesce(max(position), 0) FROM ledger.events;

GRANT SELECT, INSERT, UPDATE, DELETE ON read.jobs_1 TO cronledger_server;
