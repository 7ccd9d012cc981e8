"""What must hold of every ledger, whatever was done to it: one function, for every harness.

`check` reads one snapshot of the database, so that it may look at a ledger that is in use.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from typing import Any, Final
from uuid import UUID

import msgspec
import psycopg
from psycopg import Connection, sql
from psycopg.rows import dict_row

from domain.events import Envelope
from domain.execution import fold
from projections.executions import row as product_row
from store import mapper
from tests.support import (
    body_invariants,
    counted,
    due_invariants,
    job_invariants,
    naive,
    naive_jobs,
    reaction_invariants,
)

_SHOWN_MAX: Final = 50
_PREVIEW_BYTES: Final = 4096
_SCHEMAS: Final = ("ledger", "store", "read")
_SAME_IN_RETRIES: Final = (
    *("root_id", "job_id", "configuration", "timeout_seconds"),
    *("labels", "start_deadline_seconds", "pinned_agent_id"),
)


class Broken(AssertionError):
    """The ledger is not as it must be; one line says where, and how, each time."""


class Snapshot:
    """Everything in a ledger's database at one moment."""

    def __init__(self, connection: Connection[Any]) -> None:
        self._connection = connection
        self.log = self.rows("SELECT * FROM ledger.events ORDER BY position")
        self.identity = self.rows("SELECT * FROM ledger.identity")
        self.streams: defaultdict[UUID, list[naive.Event]] = defaultdict(list)
        for event in sorted(self.log, key=lambda e: (e["stream_id"], e["version"])):
            self.streams[event["stream_id"]].append(event)
        # A stream without its beginning is reported as such, and cannot be folded.
        whole = (e for e in self.log if naive.short(self.streams[e["stream_id"]][0]) == "created")
        self.expected = naive.rows(whole)

    def rows(self, statement: str) -> list[dict[str, Any]]:
        """What a query returns."""
        with self._connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(statement.encode()).fetchall()

    def running(self) -> Iterator[tuple[UUID, naive.Row]]:
        """Executions that have begun and not ended."""
        return (found for found in self.expected.items() if found[1]["status"] == "running")

    def endings(self) -> Iterator[tuple[naive.Event, dict[str, Any]]]:
        """Events that tell how a command ended, with what they tell."""
        for event in self.log:
            if ending := naive.payload(event).get("ending"):
                yield event, ending


def check(conninfo: str, *, secrets: Iterable[str] = ()) -> None:
    """Raise `Broken` if any invariant does not hold.

    Args:
        conninfo: of anyone who may read all of the ledger.
        secrets: texts that must stand nowhere in the database.
    """
    if wrong := differences(conninfo, secrets=secrets):
        more = f"\n… and {len(wrong) - _SHOWN_MAX} more" if len(wrong) > _SHOWN_MAX else ""
        raise Broken("\n".join(["the ledger is broken:", *wrong[:_SHOWN_MAX]]) + more)


def differences(conninfo: str, *, secrets: Iterable[str] = ()) -> list[str]:
    """Return a line for each way in which the ledger is not as it must be."""
    with psycopg.connect(conninfo, options="-c timezone=UTC") as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        wrong = list(_leaks(connection, list(secrets)))
        try:
            seen = Snapshot(connection)
            for look in _LOOKS:
                wrong += look(seen)
        except (ValueError, LookupError) as error:
            wrong.append(f"an event cannot be read: {error!r}")
        return wrong


def _order(seen: Snapshot) -> Iterator[str]:
    positions = [event["position"] for event in seen.log]
    if positions != list(range(1, len(positions) + 1)):
        expected = enumerate(positions, 1)
        hole = next((n for n, at in expected if n != at), len(positions))
        yield f"positions have a hole or begin wrongly at {hole}"
    for before, event in zip([None, *seen.log], seen.log, strict=False):
        at = f"position {event['position']}"
        commit, recorded = (before or {}).get("commit_number", 0), (before or {}).get("recorded_at")
        step = event["commit_number"] - commit
        if step not in (0, 1) or (before is None and step != 1):
            yield f"{at}: commit {event['commit_number']} follows commit {commit}"
        if recorded is not None and event["recorded_at"] < recorded:
            yield f"{at}: recorded before the event ahead of it"
        if recorded is not None and step == 0 and event["recorded_at"] != recorded:
            yield f"{at}: recorded at another time than the rest of its commit"


def _chain(seen: Snapshot) -> Iterator[str]:
    if len(seen.identity) != 1:
        yield f"the ledger has {len(seen.identity)} identities"
        return
    ledger_id = seen.identity[0]["ledger_id"]
    previous = naive.first_hash(ledger_id)
    for event in seen.log:
        if event["ledger_id"] != ledger_id:
            yield f"position {event['position']}: belongs to another ledger"
        if naive.leaf_hash(event, previous) != event["leaf_hash"]:
            yield f"position {event['position']}: the leaf hash is not that of the event"
        previous = event["leaf_hash"]


def _paths(seen: Snapshot) -> Iterator[str]:
    for stream_id, stream in seen.streams.items():
        versions = [event["version"] for event in stream]
        if versions != list(range(1, len(versions) + 1)):
            yield f"stream {stream_id}: its versions are {versions}"
        if [e["position"] for e in stream] != sorted(e["position"] for e in stream):
            yield f"stream {stream_id}: its versions are not in order of position"
        of_job = naive_jobs.is_job(stream[0])
        for wrong in (naive_jobs if of_job else naive).wrong_steps(stream):
            yield f"stream {stream_id}: no legal path: {wrong}"
        steps = Counter(naive.short(event) for event in stream)
        if steps["started"] > 1:
            yield f"stream {stream_id}: was claimed {steps['started']} times"
        if sum(steps[name] for name in naive.FINALS) > 1:
            yield f"stream {stream_id}: has more than one final event"


def _retries(seen: Snapshot) -> Iterator[str]:
    created = {e["stream_id"]: e for e in seen.log if naive.short(e) == "created"}
    retried = {
        UUID(naive.payload(e)["retried_as"]): e for e in seen.log if naive.short(e) == "retried"
    }
    for stream_id in created.keys() | retried.keys():
        row = seen.expected.get(stream_id)
        if row is None:
            yield f"stream {stream_id}: is named by a retry and does not exist"
            continue
        if created[stream_id]["correlation_id"] != row["root_id"]:
            yield f"stream {stream_id}: is not correlated with its root"
        if row["retry_of"] is None:
            if stream_id in retried or (row["attempt"], row["root_id"]) != (1, stream_id):
                yield f"stream {stream_id}: is no retry, yet attempt, root or a retry say so"
            continue
        told, old = retried.get(stream_id), seen.expected.get(row["retry_of"])
        if told is None or told["stream_id"] != row["retry_of"] or old is None:
            yield f"stream {stream_id}: is a retry that its original does not know of"
            continue
        birth = created[stream_id]
        same_commit = birth["commit_number"] == told["commit_number"]
        if not same_commit or birth["position"] > told["position"]:
            yield f"stream {stream_id}: was not made in one commit with, and ahead of, its Retried"
        same = [row[name] == old[name] for name in _SAME_IN_RETRIES]
        if row["attempt"] != old["attempt"] + 1 or not all(same):
            yield f"stream {stream_id}: is not its original with attempt + 1"


def _read_model(seen: Snapshot) -> Iterator[str]:
    columns = [sql.Identifier(name).as_string() for name in next(iter(seen.expected.values()), ())]
    found = {
        row["id"]: row | {"configuration": row["configuration"].hex()}
        for row in seen.rows("SELECT * FROM read.executions_1")
    }
    if found and columns and len(columns) != len(next(iter(found.values()))):
        yield "the read model has columns that nobody checks"
    yield from _compare("the naive fold", seen.expected, found)
    folded = {}
    for stream_id, stream in seen.streams.items():
        try:
            state = fold([_envelope(event) for event in stream])
        except mapper.UnreadableEvent as error:
            yield f"stream {stream_id}: {error}"
            continue
        if state is not None:
            last = product_row(state, stream[-1]["position"])
            folded[stream_id] = msgspec.structs.asdict(last)
    yield from _compare("the product's own fold", folded, found)
    head = len(seen.log) and seen.log[-1]["position"]
    at = seen.rows("SELECT name, version, position FROM read.projections")
    if not at or any(row["position"] != head for row in at):
        yield f"the projection stands at {at}, the head at {head}"


def _envelope(event: naive.Event) -> Envelope:
    return Envelope(
        originator_id=event["stream_id"],
        originator_version=event["version"],
        at=event["occurred_at"],
        actor=event["actor"],
        command_id=event["command_id"],
        correlation_id=event["correlation_id"],
        event=mapper.decode(event["type"], event["schema_version"], event["payload"]),
    )


def _compare(
    by: str, expected: dict[UUID, dict[str, Any]], found: dict[UUID, dict[str, Any]]
) -> Iterator[str]:
    for one in expected.keys() - found.keys():
        yield f"execution {one}: by {by} it should be in the read model"
    for one in found.keys() - expected.keys():
        yield f"execution {one}: by {by} it should not be in the read model"
    for one in expected.keys() & found.keys():
        for name, value in expected[one].items():
            if found[one].get(name, ...) != value:
                shown = found[one].get(name, "no such column")
                yield f"execution {one}: {name} is {shown!r}, by {by} {value!r}"


def _counted(seen: Snapshot) -> Iterator[str]:
    yield from counted.wrong(list(seen.expected.values()), seen.rows)


def _queue(seen: Snapshot) -> Iterator[str]:
    expected = {
        one: (
            *(row["pinned_agent_id"], row["configuration"], row["labels"]),
            row["start_deadline_seconds"] is not None,
        )
        for one, row in seen.expected.items()
        if row["status"] == "pending" and row["held"] is None
    }
    found = {
        row["execution_id"]: (
            *(row["pinned_agent_id"], row["configuration"].hex(), row["labels"]),
            row["start_by"] is not None,
        )
        for row in seen.rows("SELECT * FROM store.pending")
    }
    for one in expected.keys() | found.keys():
        if expected.get(one) != found.get(one):
            yield f"execution {one}: is queued as {found.get(one)}, not as {expected.get(one)}"


def _leases(seen: Snapshot) -> Iterator[str]:
    started = {e["stream_id"]: e for e in seen.log if naive.short(e) == "started"}
    held = {row["execution_id"]: row for row in seen.rows("SELECT * FROM store.leases")}
    for one, lease in held.items():
        event = started.get(one)
        if event is None or lease["fence"] != event["command_id"]:
            yield f"execution {one}: its lease is not that of its claim"
        elif lease["agent_id"] != naive.payload(event)["agent_id"]:
            yield f"execution {one}: its lease is another agent's"
    cancels = {row["execution_id"] for row in seen.rows("SELECT * FROM store.cancels")}
    for one, row in seen.running():
        if one not in held:
            yield f"execution {one}: runs without a lease"
        elif (held[one]["deadline_at"] is None) != (row["timeout_seconds"] is None):
            yield f"execution {one}: its deadline does not fit its timeout"
        if row["cancel_requested_at"] is not None and one not in cancels:
            yield f"execution {one}: is being canceled without a deadline"


def _expected_jobs(seen: Snapshot) -> Iterator[str]:
    for row in seen.rows("SELECT * FROM store.expected_jobs"):
        first = seen.expected.get(row["since"])
        if first is None or first["job_id"] != row["job_id"]:
            yield f"job {row['job_id']}: is expected since an execution that is not its own"
    watched = {row["job_id"] for row in seen.rows("SELECT job_id FROM store.expected_jobs")}
    naming = {
        row["digest"].hex()
        for row in seen.rows("SELECT digest, body FROM store.configurations")
        if json.loads(row["body"]).get("expected_schedule")
    }
    for one, row in seen.expected.items():
        if row["configuration"] in naming and row["job_id"] not in watched:
            yield f"execution {one}: names a schedule, and its job is not watched"


def _answers(seen: Snapshot) -> Iterator[str]:
    claims: Counter[UUID] = Counter()
    for kept in seen.rows("SELECT * FROM store.idempotency"):
        one, key = kept["execution_id"], kept["key"]
        if one not in seen.streams:
            yield f"key {key!r}: names the execution {one}, which does not exist"
        if kept["answer"] is not None and kept["location"] is not None:
            shown = json.loads(kept["answer"])["id"]
            if not kept["location"].endswith(f"/{shown}"):
                yield f"key {key!r}: answers {shown} at {kept['location']}"
        if key.startswith("Claim-Id"):
            claims[one] += 1
    for one, count in claims.items():
        if count > 1:
            yield f"execution {one}: was the answer to {count} different claims"


def _leaks(connection: Connection[Any], secrets: list[str]) -> Iterator[str]:
    if not secrets:
        return
    # As text, and as it would stand inside a JSON document.
    needles = {s.encode() for s in secrets} | {json.dumps(s)[1:-1].encode() for s in secrets}
    columns = connection.execute(
        "SELECT table_schema, table_name, column_name, data_type FROM information_schema.columns"
        " WHERE table_schema = ANY(%s)"
        " AND data_type IN ('text', 'bytea', 'ARRAY', 'character varying', 'json', 'jsonb')",
        [list(_SCHEMAS)],
    ).fetchall()
    for schema, table, column, kind in columns:
        name = sql.Identifier(column)
        raw = name if kind == "bytea" else sql.SQL("convert_to({}::text, 'UTF8')").format(name)
        search = sql.SQL(
            "SELECT 1 FROM {} WHERE EXISTS (SELECT 1 FROM unnest(%s::bytea[]) AS needle"
            " WHERE position(needle IN {}) > 0) LIMIT 1"
        ).format(sql.Identifier(schema, table), raw)
        if connection.execute(search, [sorted(needles)]).fetchone():
            yield f"{schema}.{table}.{column}: holds a secret in the open"


_LOOKS: Final = (
    _order,
    _chain,
    _paths,
    _retries,
    _read_model,
    _counted,
    _queue,
    _leases,
    _expected_jobs,
    _answers,
    body_invariants.bodies,
    body_invariants.outputs,
    *job_invariants.LOOKS,
    *due_invariants.LOOKS,
    *reaction_invariants.LOOKS,
)
