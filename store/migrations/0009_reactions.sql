-- What the server does because of what has happened: automatic retries and notifications. None of
-- it is history: the retries themselves are, and what was told to whom is kept for a while only.

-- How far each follower of the log has come. What happened before this migration is not acted on.
CREATE TABLE store.followers (
    name      text   PRIMARY KEY,
    position  bigint NOT NULL
);
INSERT INTO store.followers (name, position)
SELECT name, coalesce((SELECT max(position) FROM ledger.events), 0)
FROM unnest(ARRAY['retries', 'notifications']) AS name;

-- Failed executions that are retried by themselves at `retry_at`; `held_until` is how long the
-- server that has taken one may need for it, before another takes it.
CREATE TABLE store.planned_retries (
    execution_id  uuid        PRIMARY KEY,
    job_stream    uuid        NOT NULL,
    job_id        text        NOT NULL,
    attempt       integer     NOT NULL,
    retry_at      timestamptz NOT NULL,
    held_until    timestamptz
);
CREATE INDEX planned_retries_by_time ON store.planned_retries (retry_at);
CREATE INDEX planned_retries_of_job ON store.planned_retries (job_stream);

-- One token bucket for all servers, so that many failures at once do not become a storm.
CREATE TABLE store.retry_budget (
    only_one   boolean          PRIMARY KEY DEFAULT true CHECK (only_one),
    tokens     double precision NOT NULL,
    filled_at  timestamptz      NOT NULL
);
INSERT INTO store.retry_budget (tokens, filled_at) VALUES (1e9, now());

-- Whom to tell, of what. Address and secret are encrypted. Without tags it hears of all jobs; one
-- that stands only in some jobs' notification_config has no events of its own. After failures it
-- is left alone until `resume_at`.
CREATE TABLE store.webhooks (
    id          uuid        PRIMARY KEY,
    name        text        NOT NULL UNIQUE,
    url         text        NOT NULL,
    secret      text        NOT NULL,
    events      text[]      NOT NULL,
    tags        text[]      NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    failures    integer     NOT NULL DEFAULT 0,
    resume_at   timestamptz
);

-- What is to be told to whom; the id is derived from webhook and event, so that nothing is noted
-- twice. `subject` names what the message is about; its text is made when it is sent. While a
-- server sends it, `due_at` lies ahead.
CREATE TABLE store.deliveries (
    id           uuid        PRIMARY KEY,
    webhook_id   uuid        NOT NULL REFERENCES store.webhooks ON DELETE CASCADE,
    event_id     uuid        NOT NULL,
    event        text        NOT NULL,
    subject      text        NOT NULL,
    state        text        NOT NULL DEFAULT 'pending'
                 CHECK (state IN ('pending', 'delivered', 'given_up')),
    attempts     integer     NOT NULL DEFAULT 0,
    created_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    due_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at   timestamptz NOT NULL DEFAULT clock_timestamp() + interval '1 day'
);
CREATE INDEX deliveries_due ON store.deliveries (webhook_id, due_at) WHERE state = 'pending';
CREATE INDEX deliveries_of_webhook ON store.deliveries (webhook_id, created_at);
CREATE INDEX deliveries_by_age ON store.deliveries (created_at);

-- Each attempt, and what came of it.
CREATE TABLE store.delivery_attempts (
    delivery_id  uuid        NOT NULL REFERENCES store.deliveries ON DELETE CASCADE,
    number       integer     NOT NULL,
    at           timestamptz NOT NULL,
    duration_ms  integer     NOT NULL,
    status_code  integer,
    error        text,
    answer       text,
    PRIMARY KEY (delivery_id, number)
);

-- The last due time of each job that was told as missed.
CREATE TABLE store.told_missed (
    job_id  text        PRIMARY KEY,
    due_at  timestamptz NOT NULL
);

GRANT SELECT, INSERT, UPDATE, DELETE ON
    store.followers, store.planned_retries, store.retry_budget, store.webhooks, store.deliveries,
    store.delivery_attempts, store.told_missed
TO cronledger_server;
