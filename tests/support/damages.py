"""What a superuser may do to the ledger of `lives.live`, and what verify must say of it."""

from typing import Final

# What is done, which kinds of findings it must lead to and no others, and a part of one.
DAMAGES: Final[dict[str, tuple[str, set[str], str]]] = {
    "event edited": (
        "UPDATE ledger.events SET actor = 'nobody' WHERE position = 4",
        {"leaf hash"},
        "leaf hash: 4: is not that of the event",
    ),
    "payload edited": (
        """UPDATE ledger.events SET payload = convert_to(replace(convert_from(payload, 'UTF8'),
           '"duration_ms":12', '"duration_ms":11'), 'UTF8') WHERE position = 3""",
        {"leaf hash", "read model"},
        "duration_ms is 12, and should be 11",
    ),
    "payload cut off": (
        "UPDATE ledger.events SET payload = substr(payload, 1, 20) WHERE position = 3",
        {"leaf hash", "payload", "read model"},
        "payload: ",
    ),
    "type unknown": (
        "UPDATE ledger.events SET type = 'execution.vanished' WHERE position = 2",
        {"leaf hash", "payload", "read model", "lease"},
        "position 2: execution.vanished: unknown type",
    ),
    "leaf hash flipped": (
        """UPDATE ledger.events SET leaf_hash = set_bit(leaf_hash, 0, 1 - get_bit(leaf_hash, 0))
           WHERE position = 3""",
        {"leaf hash"},
        "leaf hash: 4: ",
    ),
    "event deleted": (
        """DELETE FROM ledger.events WHERE type = 'execution.cancel_requested'
           AND stream_id = (SELECT id FROM read.executions_1 WHERE status = 'running'
                            AND cancel_requested_at IS NOT NULL)""",
        {"position", "commit", "read model"},
        "cancel_requested_at is",
    ),
    "first event deleted": (
        "DELETE FROM ledger.events WHERE position = 1",
        {"position", "version", "path", "read model", "output"},
        "an execution begins with execution.created",
    ),
    "two events swapped": (
        """UPDATE ledger.events SET position = 1002 WHERE position = 2;
           UPDATE ledger.events SET position = 2 WHERE position = 3;
           UPDATE ledger.events SET position = 3 WHERE position = 1002""",
        {"leaf hash", "order", "commit", "recorded_at", "read model"},
        "order: ",
    ),
    "position moved away": (
        """UPDATE ledger.events SET position = position + 1
           WHERE position = (SELECT max(position) FROM ledger.events)""",
        {"position", "read model"},
        "follows position",
    ),
    "event inserted": (
        """INSERT INTO ledger.events SELECT (SELECT max(position) + 1 FROM ledger.events),
            commit_number, occurred_at, recorded_at, ledger_id, stream_id, gen_random_uuid(),
            correlation_id, 4, schema_version, type, actor, payload, leaf_hash
            FROM ledger.events WHERE position = 2""",
        {"leaf hash", "commit", "recorded_at", "path", "read model", "lease"},
        "execution.started cannot follow in the status success",
    ),
    "version skipped": (
        "UPDATE ledger.events SET version = 9 WHERE position = 3",
        {"leaf hash", "version", "read model"},
        "version 9 stands where 3 should be",
    ),
    "another ledger's event": (
        "UPDATE ledger.events SET ledger_id = gen_random_uuid() WHERE position = 5",
        {"leaf hash", "ledger"},
        "ledger: 5: belongs to the ledger",
    ),
    "recorded too early": (
        "UPDATE ledger.events SET recorded_at = recorded_at - interval '1 day' WHERE position = 9",
        {"leaf hash", "recorded_at"},
        "is earlier than that of the position before",
    ),
    "commit number lowered": (
        "UPDATE ledger.events SET commit_number = 1 WHERE position = 9",
        {"leaf hash", "commit"},
        "commit: 9: is of commit 1",
    ),
    "row changed": (
        "UPDATE read.executions_1 SET signal = 9 WHERE status = 'success'",
        {"read model"},
        "signal is 9, and should be None",
    ),
    "row's time changed": (
        "UPDATE read.executions_1 SET started_at = started_at + interval '1 us'",
        {"read model"},
        "started_at is",
    ),
    "row missing": (
        "DELETE FROM read.executions_1 WHERE status = 'success' AND late_outcome IS NULL",
        # The execution is among them that brought back an erased configuration.
        {"read model", "lease", "configuration"},
        "the row is missing",
    ),
    "row extra": (
        """CREATE TEMPORARY TABLE more AS SELECT * FROM read.executions_1
           WHERE status = 'success' LIMIT 1;
           UPDATE more SET id = gen_random_uuid(), root_id = NULL; UPDATE more SET root_id = id;
           INSERT INTO read.executions_1 SELECT * FROM more""",
        {"read model"},
        "the row belongs to no execution",
    ),
    "projection behind": (
        "UPDATE read.projections SET position = position - 1 WHERE name = 'executions'",
        {"read model"},
        "stands at position",
    ),
    "projection forgotten": (
        "DELETE FROM read.projections WHERE name = 'executions'",
        {"read model"},
        "has no position",
    ),
    "output byte flipped": (
        """UPDATE store.output_chunks SET bytes = set_bit(bytes, 40000, 1 - get_bit(bytes, 40000))
           WHERE stream = 1""",
        {"output"},
        "kept bytes are not those that its event names",
    ),
    "output cut": (
        "UPDATE store.output_chunks SET bytes = substr(bytes, 1, 5000) WHERE stream = 1",
        {"output"},
        "bytes were kept, and 5000 are there",
    ),
    "output moved": (
        "UPDATE store.output_chunks SET start_offset = 3 WHERE stream = 2",
        {"output"},
        "a chunk begins at 3, not at 0",
    ),
    "output gone": (
        "DELETE FROM store.output_chunks; DELETE FROM store.outputs",
        {"output"},
        "bytes of it are missing",
    ),
    "output without a row": ("DELETE FROM store.outputs", {"output"}, "has chunks, and no row"),
    "output of nobody": (
        """UPDATE store.outputs SET execution_id = gen_random_uuid() WHERE stream = 2;
           UPDATE store.output_chunks SET execution_id = gen_random_uuid() WHERE stream = 2""",
        {"output"},
        "is stored for an execution that does not exist",
    ),
    "preview of something else": (
        "UPDATE store.outputs SET preview = 'all is well' WHERE stream = 1",
        {"output"},
        "its preview is another text",
    ),
    "output marked as erased": (
        "UPDATE store.outputs SET erased_at = now() WHERE erased_at IS NULL",
        {"output"},
        "is marked as erased, and no event says so",
    ),
    "output erased, and no event": (
        """DELETE FROM store.output_chunks; UPDATE store.outputs SET
           salt = '', preview = '', kept_bytes = 0, erased_at = now() WHERE erased_at IS NULL""",
        {"output"},
        "is marked as erased, and no event says so",
    ),
    "nothing marked as erased": (
        """INSERT INTO store.outputs (execution_id, stream, salt, erased_at)
           SELECT id, 2, '', now() FROM read.executions_1 WHERE status = 'pending'""",
        {"output"},
        "is marked as erased, and no event says so",
    ),
    "erased output put back": (
        """INSERT INTO store.output_chunks
           SELECT execution_id, stream, 0, 'x' FROM store.outputs WHERE erased_at IS NOT NULL""",
        {"output"},
        "was erased by an event, and is there",
    ),
    "preview of erased output": (
        "UPDATE store.outputs SET preview = 'x' WHERE erased_at IS NOT NULL",
        {"output"},
        "was erased by an event, and is there",
    ),
    "erased output no longer marked": (
        "UPDATE store.outputs SET erased_at = NULL",
        {"output"},
        "was erased by an event, and is not marked as erased",
    ),
    "mark of erased output gone": (
        "DELETE FROM store.outputs WHERE erased_at IS NOT NULL",
        {"output"},
        "was erased by an event, and is not marked as erased",
    ),
    "mark gone where nothing was kept": (
        """DELETE FROM store.outputs USING read.executions_1
           WHERE id = execution_id AND erased_at IS NOT NULL AND late_outcome IS NOT NULL""",
        {"output"},
        "was erased by an event, and is not marked as erased",
    ),
    "message edited": ("UPDATE store.messages SET body = 'fine'", {"message"}, "is not what"),
    "message gone": ("DELETE FROM store.messages", {"message"}, "is missing"),
    "message made up": (
        "INSERT INTO store.messages SELECT execution_id, 1, salt, body FROM store.messages",
        {"message"},
        "of event 1: none is named",
    ),
    "erased message put back": (
        """INSERT INTO store.messages SELECT o.execution_id, 3, m.salt, m.body
           FROM store.outputs o CROSS JOIN (SELECT * FROM store.messages LIMIT 1) AS m
           WHERE o.erased_at IS NOT NULL AND o.stream = 1 ON CONFLICT DO NOTHING""",
        {"message"},
        "of event 3 was erased by an event, and is there",
    ),
    "erased configuration put back": (
        """INSERT INTO store.configurations SELECT configuration, '', '' FROM read.executions_1
           ON CONFLICT DO NOTHING""",
        {"configuration"},
        "was erased by an event, and is there",
    ),
    "erased texts of a job put back": (
        """INSERT INTO store.configurations SELECT decode(digest, 'hex'), '', ''
           FROM ledger.events CROSS JOIN LATERAL
               json_array_elements_text(convert_from(payload, 'UTF8')::json -> 'bodies') AS digest
           WHERE type = 'job.bodies_erased'""",
        {"configuration"},
        "was erased by an event, and is there",
    ),
    "configuration gone that had come back": (
        """DELETE FROM store.configurations WHERE digest = (
               SELECT configuration FROM read.executions_1
               JOIN store.configurations ON digest = configuration
               JOIN ledger.events ON stream_id = id AND type = 'execution.bodies_erased'
                   AND position(convert_to('"configuration"', 'UTF8') IN payload) > 0)""",
        {"configuration"},
        "is missing, and named by",
    ),
    "configuration edited": (
        "UPDATE store.configurations SET body = body || ' '",
        {"configuration"},
        "is not what its digest says",
    ),
    "configuration that is no text": (
        """UPDATE store.configurations
           SET body = convert_to('{"expected_schedule":', 'UTF8') || decode('ff', 'hex')""",
        {"configuration"},
        "is not what its digest says",
    ),
    "configuration gone": (
        "DELETE FROM store.configurations",
        {"configuration"},
        "is missing, and named by",
    ),
    "definition of a job gone": (
        "DELETE FROM store.configurations WHERE digest = (SELECT definition FROM read.jobs_1)",
        {"configuration"},
        "is missing, and named by the job",
    ),
    "row of a job edited": (
        "UPDATE read.jobs_1 SET status = 'paused'",
        {"read model"},
        "status is 'paused', and should be 'enabled'",
    ),
    "erasure of a job's texts hidden": (
        """UPDATE ledger.events SET type = 'job.resumed', payload = '{"type":"job.resumed"}'
           WHERE type = 'job.bodies_erased'""",
        {"leaf hash", "path", "configuration"},
        "is missing, and named by the job",
    ),
    "missing in the queue": ("DELETE FROM store.pending", {"queue"}, "not in the queue"),
    "left in the queue": (
        """INSERT INTO store.pending SELECT id, NULL, configuration FROM read.executions_1
           WHERE status = 'success'""",
        {"queue"},
        "is in the queue, and not pending",
    ),
    "pin lost": (
        "UPDATE store.pending SET pinned_agent_id = NULL WHERE pinned_agent_id IS NOT NULL",
        {"queue"},
        "is queued with another pin",
    ),
    "labels forgotten": (
        "UPDATE store.pending SET labels = NULL WHERE labels IS NOT NULL",
        {"queue"},
        "is queued with another pin",
    ),
    "lease of another claim": (
        "UPDATE store.leases SET fence = gen_random_uuid()",
        {"lease"},
        "its lease is not that of its claim",
    ),
    "lease of another agent": (
        "UPDATE store.leases SET agent_id = 'other'",
        {"lease"},
        "its lease is held by other",
    ),
    "lease gone": ("DELETE FROM store.leases", {"lease"}, "runs without a lease"),
    "deadline gone": ("UPDATE store.leases SET deadline_at = NULL", {"lease"}, "its deadline"),
    "cancel forgotten": ("DELETE FROM store.cancels", {"lease"}, "without a deadline"),
    "answer of nobody": (
        "UPDATE store.idempotency SET execution_id = gen_random_uuid()",
        {"idempotency"},
        "which does not exist",
    ),
    "answer of another": (
        "UPDATE store.idempotency SET answer = '{}' WHERE location IS NOT NULL",
        {"idempotency"},
        "answers another execution than its location",
    ),
    "one execution for two claims": (
        """INSERT INTO store.idempotency SELECT token_id, key || '2', fingerprint, execution_id,
           status, location, answer, recorded_at FROM store.idempotency WHERE key LIKE 'Claim-Id%'
        """,
        {"idempotency"},
        "and 1 more claims got the execution",
    ),
    "expected since nowhere": (
        "UPDATE store.expected_jobs SET since = gen_random_uuid()",
        {"expected job"},
        "which is no execution of it",
    ),
    "expected job forgotten": (
        "DELETE FROM store.expected_jobs",
        {"expected job"},
        "expected job: expected: is not watched",
    ),
    "schedule gone": (
        "DELETE FROM store.schedules",
        {"schedule"},
        "schedule: nightly: is a job, and nobody looks when it is due",
    ),
    "schedule of nobody": (
        "INSERT INTO store.schedules VALUES (gen_random_uuid(), now())",
        {"schedule"},
        "is looked at when it is due, and is no job",
    ),
}
