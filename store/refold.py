"""What follows from the events: read models, queue, leases and cancels, made from the log alone.

Stream by stream, so that no more than a few hundred executions are in memory at a time. Bodies are
compared with what the events say of them on the way.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any, Final
from uuid import UUID

import msgspec
from msgspec import Struct
from psycopg import Connection, RawCursor
from psycopg.rows import args_row

from domain import ids
from domain.events import Ending, Event, Happened
from domain.execution import Execution
from domain.streams import State, evolve
from store import changes, mapper, sql
from store.archive import Refused
from store.changes import Change, Projection
from store.columns import execute
from store.leases import LATE_OUTCOME_DAYS
from store.output import STREAMS
from store.work import Lapses

_STREAMS_AT_ONCE: Final = 500
_EVENTS: Final = """
SELECT stream_id, version, position, type, schema_version, occurred_at, recorded_at, command_id,
       payload
FROM ledger.events ORDER BY stream_id, version"""


class _StoredEvent(Struct, frozen=True):
    stream_id: UUID
    version: int
    position: int
    type: str
    schema_version: int
    occurred_at: datetime
    recorded_at: datetime
    command_id: UUID
    payload: bytes


class _Consequences(Struct):
    """What some executions lead to; each list is written by one statement."""

    changes: list[Change]
    queue: list[dict[str, Any]]
    leases: list[dict[str, Any]]
    cancels: list[dict[str, Any]]
    held: list[dict[str, Any]]
    messages: list[dict[str, Any]]
    outputs: list[dict[str, Any]]


def refold(
    connection: Connection[Any], projections: Sequence[Projection], head: int, lapses: Lapses
) -> None:
    """Fill empty read models and operational tables from the log, which ends at `head`.

    Raises `Refused` if versions of a stream are missing, or a body is not what its event says.
    """
    ((now,),) = connection.execute("SELECT clock_timestamp()").fetchall()
    found = _Consequences([], [], [], [], [], [], [])
    with connection.cursor("streams", row_factory=args_row(_StoredEvent)) as cursor:
        cursor.itersize = 2000
        cursor.execute(_EVENTS.encode(), binary=True)
        for _, stream in groupby(cursor, key=lambda event: event.stream_id):
            _take(found, stream, now, lapses)
            if len(found.changes) == _STREAMS_AT_ONCE:
                _write(connection, found, projections, head)
                found = _Consequences([], [], [], [], [], [], [])
    _write(connection, found, projections, head)


def _take(
    found: _Consequences, stream: Iterator[_StoredEvent], now: datetime, lapses: Lapses
) -> None:
    state: State | None = None
    last: _StoredEvent | None = None
    at: dict[str, datetime] = {}
    for version, stored in enumerate(stream, 1):
        if stored.version != version:
            raise Refused(f"Version {version} of the stream {stored.stream_id} is missing.")
        last = stored
        try:
            event = mapper.decode(stored.type, stored.schema_version, stored.payload)
        except (mapper.UnreadableEvent, RecursionError):
            continue  # of a newer version, or broken: what can be read is shown
        happened = Happened(stored.stream_id, version, stored.occurred_at, stored.command_id, event)
        before, state = state, evolve(state, happened)
        at.setdefault("created", stored.recorded_at)
        if isinstance(state, Execution) and isinstance(before, Execution):
            if state.status != before.status:
                at[state.status] = stored.recorded_at
            if state.cancel_requested_at is not None:
                at.setdefault("cancel_requested", stored.recorded_at)
        _note_bodies(found, stored, event)
    if state is not None and last is not None:
        found.changes.append(Change(None, state, last.position))
        if isinstance(state, Execution):
            _operate(found, state, at, now, lapses)


def _note_bodies(found: _Consequences, stored: _StoredEvent, event: Event) -> None:
    ending: Ending | None = getattr(event, "ending", None)
    if ending is None:
        return
    one = {"execution_id": stored.stream_id}
    if ending.message is not None:
        said = ending.message.sha256
        found.messages.append(one | {"version": stored.version, "sha256": said})
    for name, number in STREAMS.items():
        digest = ending.stdout if name == "stdout" else ending.stderr
        if digest.kept_bytes:
            said = digest.kept_sha256
            kept = {"stream": number, "kept_bytes": digest.kept_bytes, "sha256": said}
            found.outputs.append(one | kept)


def _operate(
    found: _Consequences,
    state: Execution,
    at: dict[str, datetime],
    now: datetime,
    lapses: Lapses,
) -> None:
    """Note what the server has to do about an execution; `at` is when what was recorded."""
    one: dict[str, Any] = {"execution_id": state.id}
    if state.status == "pending":
        queued = one | {
            "pinned_agent_id": state.pinned_agent_id,
            "configuration": state.configuration.sha256,
            "labels": state.labels or None,
            "start_by": None,
        }
        if state.start_deadline_seconds is not None:
            queued["start_by"] = at["created"] + timedelta(seconds=state.start_deadline_seconds)
        if state.held is None:
            found.queue.append(queued)
        else:
            held = {"id": ids.job_stream(state.job_id), "start_by": queued["start_by"]}
            found.held.append(one | held)
    if state.started_at is None or state.fence is None:
        return
    lease = one | {"fence": state.fence, "agent_id": state.agent_id, "deadline_at": None}
    if state.timeout_seconds is not None:
        longest = timedelta(seconds=state.timeout_seconds + lapses.timeout_grace)
        lease["deadline_at"] = at["running"] + longest
    if state.status == "running":
        lease["expires_at"] = now + timedelta(seconds=lapses.lease)
        found.leases.append(lease)
        if "cancel_requested" in at:
            due = at["cancel_requested"] + timedelta(seconds=lapses.cancel)
            found.cancels.append(one | {"due_at": due})
    elif state.observed_by == "server" and state.late is None:
        # Given up, but its agent may still tell how it really ended.
        lost_at = at[state.status]
        if now - lost_at < timedelta(days=LATE_OUTCOME_DAYS):
            found.leases.append(lease | {"expires_at": lost_at, "lost_at": lost_at})


def _write(
    connection: Connection[Any],
    found: _Consequences,
    projections: Sequence[Projection],
    head: int,
) -> None:
    with RawCursor(connection) as cursor:
        for projection in projections:
            if (parameters := projection.parameters(found.changes)) is not None:
                execute(connection, projection.statement, parameters)
        move = [one.decode() for one in changes.moved(projections, head)]
        cursor.execute(changes.MOVE.encode(), move)
        operations = [found.queue, found.leases, found.cancels, found.held]
        cursor.execute(sql.named("import_operations").encode(), _arrays(*operations))
        bodies = _arrays(found.messages, found.outputs)
        wrong = cursor.execute(sql.named("wrong_bodies").encode(), bodies).fetchone()
    if wrong is not None:
        raise Refused(f"{wrong[0].capitalize()} {wrong[1]} is not what its event says.")


def _arrays(*parts: list[dict[str, Any]]) -> list[str]:
    return [msgspec.json.encode(rows).decode() for rows in parts]
