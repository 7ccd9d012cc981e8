-- The ledger: history that nobody may change, and beside it the bodies and the operational state.
--
-- Three schemas:
--   ledger  what has happened. The server's role may insert and select, and owns nothing.
--   store   what is not history: bodies that can be erased, leases, the pending queue, tokens.
--   read    read models: everything in it can be rebuilt from `ledger`.
--
-- Runs as the owner of the database. The role cronledger_server exists already.

CREATE SCHEMA ledger;
CREATE SCHEMA store;
CREATE SCHEMA read;

GRANT USAGE ON SCHEMA ledger, store, read TO cronledger_server;

-- One row: who this ledger is. `key_check` tells whether the secret key outside still fits.
CREATE TABLE ledger.identity (
    only_one    boolean     PRIMARY KEY DEFAULT true CHECK (only_one),
    ledger_id   uuid        NOT NULL,
    key_check   bytea       NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now()
);

-- `occurred_at` is claimed, `recorded_at` is this database's clock under the append lock and never
-- decreases with the position. `payload` is the exact bytes that were encoded. `leaf_hash` covers
-- every other column and the leaf hash of the position before.
CREATE TABLE ledger.events (
    position        bigint      PRIMARY KEY CHECK (position > 0),
    commit_number   bigint      NOT NULL CHECK (commit_number > 0),
    occurred_at     timestamptz NOT NULL,
    recorded_at     timestamptz NOT NULL,
    ledger_id       uuid        NOT NULL,
    stream_id       uuid        NOT NULL,
    command_id      uuid        NOT NULL,
    correlation_id  uuid        NOT NULL,
    version         integer     NOT NULL CHECK (version >= 0),
    schema_version  smallint    NOT NULL CHECK (schema_version > 0),
    type            text        NOT NULL,
    actor           text        NOT NULL,
    payload         bytea       NOT NULL,
    leaf_hash       bytea       NOT NULL CHECK (octet_length(leaf_hash) = 32),
    UNIQUE (stream_id, version)
);

GRANT SELECT ON ledger.identity TO cronledger_server;
GRANT SELECT, INSERT ON ledger.events TO cronledger_server;

CREATE FUNCTION ledger.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'ledger.% is append-only: % is refused', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'insufficient_privilege';
END
$$;

CREATE TRIGGER events_are_immutable BEFORE UPDATE OR DELETE ON ledger.events
    FOR EACH ROW EXECUTE FUNCTION ledger.refuse_change();
CREATE TRIGGER events_are_kept BEFORE TRUNCATE ON ledger.events
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_change();
ALTER TABLE ledger.events ENABLE ALWAYS TRIGGER events_are_immutable;
ALTER TABLE ledger.events ENABLE ALWAYS TRIGGER events_are_kept;

-- ---------------------------------------------------------------------------------------- bodies

-- A configuration is shared by all executions that have the same one. `digest` is
-- SHA-256(salt || body); events name it. Values of secrets stand encrypted inside the body.
CREATE TABLE store.configurations (
    digest  bytea PRIMARY KEY,
    salt    bytea NOT NULL,
    body    bytea NOT NULL
);

-- One row an output stream (1 stdout, 2 stderr). `next_offset` counts what the command wrote,
-- `kept_bytes` what is stored; [omitted_from, omitted_to) was left out by the cap. The preview is
-- the first 4,096 bytes of stdout, the last 4,096 of stderr.
CREATE TABLE store.outputs (
    execution_id  uuid     NOT NULL,
    stream        smallint NOT NULL CHECK (stream IN (1, 2)),
    salt          bytea    NOT NULL,
    next_offset   bigint   NOT NULL DEFAULT 0,
    kept_bytes    bigint   NOT NULL DEFAULT 0,
    omitted_from  bigint,
    omitted_to    bigint,
    preview       bytea    NOT NULL DEFAULT '',
    PRIMARY KEY (execution_id, stream)
);

CREATE TABLE store.output_chunks (
    execution_id  uuid     NOT NULL,
    stream        smallint NOT NULL,
    start_offset  bigint   NOT NULL,
    bytes         bytea    NOT NULL,
    PRIMARY KEY (execution_id, stream, start_offset)
);
-- Output is mostly short and often binary: keep it out of line only when it is large, and let
-- lz4 be tried where the server has it by setting default_toast_compression.

-- The sentence that an agent gave with an outcome, by the version of the event that names it.
CREATE TABLE store.messages (
    execution_id  uuid    NOT NULL,
    version       integer NOT NULL,
    salt          bytea   NOT NULL,
    body          bytea   NOT NULL,
    PRIMARY KEY (execution_id, version)
);

-- ----------------------------------------------------------------------------- operational state

-- The queue that agents claim from, lowest id first. `labels` is what an agent must have, sorted
-- and each once, or null for nothing; `start_by` is when the execution waits no longer.
CREATE TABLE store.pending (
    execution_id     uuid  PRIMARY KEY,
    pinned_agent_id  text,
    configuration    bytea NOT NULL,
    labels           text[] CHECK (cardinality(labels) > 0),
    start_by         timestamptz
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
-- One index for each way to claim, so that none reads past another's rows.
CREATE INDEX pending_for_anyone ON store.pending (execution_id)
    WHERE pinned_agent_id IS NULL AND labels IS NULL;
CREATE INDEX pending_for_one ON store.pending (pinned_agent_id, execution_id)
    WHERE pinned_agent_id IS NOT NULL AND labels IS NULL;
-- An agent id is never empty, so that '' stands for anyone.
CREATE INDEX pending_with_labels ON store.pending
    (coalesce(pinned_agent_id, ''), labels, execution_id) WHERE labels IS NOT NULL;
CREATE INDEX pending_with_deadline ON store.pending (start_by) WHERE start_by IS NOT NULL;

-- Written once by the claim, renewed by heartbeats, marked by the sweep; never by the appender
-- again, so that heartbeats and batches share no row lock. `deadline_at` is when the server stops
-- waiting for the end of a command with a timeout.
-- A row is dropped soon after its agent reported the end. One that the server gave up on stays for
-- 7 days with `lost_at`, because the agent may still report: `given_up` says that the event is
-- there, so that the sweep need not look again. No index holds a column that a heartbeat changes.
CREATE TABLE store.leases (
    execution_id  uuid        PRIMARY KEY,
    fence         uuid        NOT NULL,
    agent_id      text        NOT NULL,
    expires_at    timestamptz NOT NULL,
    deadline_at   timestamptz,
    lost_at       timestamptz,
    given_up      boolean     NOT NULL DEFAULT false
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
CREATE INDEX leases_lost ON store.leases (lost_at) WHERE lost_at IS NOT NULL;
CREATE INDEX leases_watched ON store.leases (execution_id) WHERE NOT given_up;

-- Cancels that were requested, and until when the agent may confirm them.
CREATE TABLE store.cancels (
    execution_id  uuid        PRIMARY KEY,
    due_at        timestamptz NOT NULL
);

-- One key, one result. A claim keeps no answer, since that holds secrets: it is built anew.
CREATE TABLE store.idempotency (
    token_id      uuid        NOT NULL,
    key           text        NOT NULL,
    fingerprint   bytea       NOT NULL,
    execution_id  uuid        NOT NULL,
    status        smallint    NOT NULL,
    location      text,
    answer        bytea,
    recorded_at   timestamptz NOT NULL,
    PRIMARY KEY (token_id, key)
);
CREATE INDEX idempotency_by_age ON store.idempotency (recorded_at);

-- Jobs of which some execution named the schedule that it was expected by, and the first that did.
-- Whether one still is expected, and when, its newest execution's configuration says. So this grows
-- with the jobs that have a schedule, not with all that ever ran.
CREATE TABLE store.expected_jobs (
    job_id  text PRIMARY KEY,
    since   uuid NOT NULL
);

-- Agents as their claims and heartbeats show them: written now and then, from memory. Of one that
-- never claimed the labels are null.
CREATE TABLE store.agents (
    agent_id      text        PRIMARY KEY,
    last_seen_at  timestamptz NOT NULL,
    token_bound   boolean     NOT NULL,
    version       text,
    labels        text[],
    concurrency   integer
);
CREATE INDEX agents_by_age ON store.agents (last_seen_at);

CREATE TABLE store.tokens (
    id            uuid        PRIMARY KEY,
    name          text        NOT NULL,
    scopes        text[]      NOT NULL,
    agent_id      text,
    token_sha256  bytea       NOT NULL UNIQUE,
    created_at    timestamptz NOT NULL DEFAULT now(),
    expires_at    timestamptz,
    revoked_at    timestamptz,
    last_used_at  timestamptz
);

GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA store TO cronledger_server;

-- Appends raw bytes to one output stream; one statement, no lock shared with the appender.
-- result: ok (also for a repeat), gap (`next_offset` is where to go on), full (over the cap),
-- lease_lost. Once the agent itself has reported the end nothing is added any more.
CREATE FUNCTION store.append_output(
    the_execution uuid, the_fence uuid, the_agent text, the_stream smallint, at_offset bigint,
    skip_to bigint, the_bytes bytea, cap bigint, new_salt bytea, OUT result text, OUT next_offset bigint
) LANGUAGE plpgsql AS $$
DECLARE
    o     store.outputs%ROWTYPE;
    start bigint;
    fresh bytea  := the_bytes;
BEGIN
    PERFORM 1 FROM store.leases l
        WHERE l.execution_id = the_execution AND l.fence = the_fence
          AND (the_agent IS NULL OR l.agent_id = the_agent);
    IF NOT FOUND THEN
        result := 'lease_lost';
        RETURN;
    END IF;
    INSERT INTO store.outputs (execution_id, stream, salt)
        VALUES (the_execution, the_stream, new_salt) ON CONFLICT DO NOTHING;
    SELECT * INTO o FROM store.outputs x
        WHERE x.execution_id = the_execution AND x.stream = the_stream FOR UPDATE;
    next_offset := o.next_offset;
    IF coalesce(skip_to, at_offset) + octet_length(the_bytes) > o.next_offset AND EXISTS (
        SELECT 1 FROM ledger.events e
        WHERE e.stream_id = the_execution AND e.version > 2
          AND (e.type = 'execution.outcome_reported_late'
               OR e.type IN ('execution.completed', 'execution.timed_out', 'execution.canceled')
                  AND e.actor NOT LIKE 'server:%')) THEN
        result := 'lease_lost';
        RETURN;
    END IF;
    IF skip_to IS NOT NULL AND o.omitted_from IS NULL THEN
        IF at_offset <> o.next_offset OR skip_to <= at_offset THEN
            result := 'gap';
            RETURN;
        END IF;
        o.omitted_from := at_offset;
        o.omitted_to := skip_to;
        o.next_offset := skip_to;
    ELSIF skip_to IS NOT NULL AND (at_offset <> o.omitted_from OR skip_to <> o.omitted_to) THEN
        -- There is one cut a stream; only the very same one is a repeat.
        result := 'gap';
        RETURN;
    END IF;
    start := coalesce(skip_to, at_offset);
    IF start > o.next_offset THEN
        result := 'gap';
        RETURN;
    END IF;
    -- The part that is there already was acknowledged before: only what is new is added.
    fresh := substr(fresh, least(o.next_offset - start, octet_length(fresh))::integer + 1);
    IF o.kept_bytes + octet_length(fresh) > cap THEN
        result := 'full';
        RETURN;
    END IF;
    IF octet_length(fresh) > 0 THEN
        INSERT INTO store.output_chunks VALUES (the_execution, the_stream, o.next_offset, fresh);
    END IF;
    IF the_stream = 2 THEN
        o.preview := o.preview || fresh;
        o.preview := substr(o.preview, greatest(octet_length(o.preview) - 4095, 1));
    ELSIF octet_length(o.preview) < 4096 THEN
        o.preview := substr(o.preview || substr(fresh, 1, 4096), 1, 4096);
    END IF;
    next_offset := o.next_offset + octet_length(fresh);
    UPDATE store.outputs x SET
        next_offset = append_output.next_offset, kept_bytes = o.kept_bytes + octet_length(fresh),
        omitted_from = o.omitted_from, omitted_to = o.omitted_to, preview = o.preview
        WHERE x.execution_id = the_execution AND x.stream = the_stream;
    result := 'ok';
END
$$;
GRANT EXECUTE ON FUNCTION store.append_output TO cronledger_server;

-- ----------------------------------------------------------------------------------- read models

-- How far each read model has come; moved in the transaction that writes its rows.
CREATE TABLE read.projections (
    name      text    PRIMARY KEY,
    version   integer NOT NULL,
    position  bigint  NOT NULL
);

-- One row an execution: exactly the fold of its events. Texts are joined from the bodies.
-- `id` is a UUIDv7, so that its order is the order of creation.
CREATE TABLE read.executions_1 (
    id                      uuid     PRIMARY KEY,
    position                bigint   NOT NULL,
    version                 integer  NOT NULL,
    attempt                 integer  NOT NULL,
    status                  text     NOT NULL,
    triggered_by            text     NOT NULL,
    job_id                  text     NOT NULL,
    configuration           bytea    NOT NULL,
    root_id                 uuid     NOT NULL,
    retry_of                uuid,
    retried_as              uuid,
    scheduled_for           timestamptz,
    started_at              timestamptz,
    cancel_requested_at     timestamptz,
    completed_at            timestamptz,
    duration_ms             bigint,
    timeout_seconds         integer,
    start_deadline_seconds  integer,
    exit_code               integer,
    signal                  integer,
    failure_reason          text,
    observed_by             text,
    agent_id                text,
    pinned_agent_id         text,
    labels                  text[],
    masked                  boolean  NOT NULL DEFAULT false,
    stdout_kept_bytes       bigint,
    stderr_kept_bytes       bigint,
    late_outcome            text,
    late_exit_code          integer,
    late_reported_at        timestamptz
) WITH (fillfactor = 85);
CREATE INDEX executions_1_by_job ON read.executions_1 (job_id, id);
CREATE INDEX executions_1_by_status ON read.executions_1 (status, id);
CREATE INDEX executions_1_of_retries ON read.executions_1 (id) WHERE triggered_by = 'retry';

INSERT INTO read.projections VALUES ('executions', 1, 0);

GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA read TO cronledger_server;
