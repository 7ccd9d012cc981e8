"""What follows from the events: read models, queue, leases and cancels, made from the log alone.

Stream by stream, so that no more than a few hundred executions are in memory at a time. Bodies are
compared with what the events say of them on the way: also whether one is missing that no event
erased, or there though one did.
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
from domain.events import BodiesErased, Ending, Event, Happened
from domain.execution import Execution
from domain.streams import State, evolve
from store import changes, mapper, sql
from store.archive import Refused
from store.changes import Change, Projection
from store.columns import execute
from store.erased_texts import ErasedTexts
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
    executions: list[dict[str, Any]]


class Refolded(Struct):
    """What the log says of texts that streams share, and whether all of it could be read."""

    texts: ErasedTexts
    is_readable: bool = True


def refold(
    connection: Connection[Any], projections: Sequence[Projection], head: int, lapses: Lapses
) -> Refolded:
    """Fill empty read models and operational tables from the log, which ends at `head`.

    Raises `Refused` if versions of a stream are missing, or its bodies are not what its events say.
    """
    ((now,),) = connection.execute("SELECT clock_timestamp()").fetchall()
    told = Refolded(ErasedTexts())
    found = _nothing()
    with connection.cursor("streams", row_factory=args_row(_StoredEvent)) as cursor:
        cursor.itersize = 2000
        cursor.execute(_EVENTS.encode(), binary=True)
        for _, stream in groupby(cursor, key=lambda event: event.stream_id):
            _take(found, told, stream, now, lapses)
            if len(found.changes) == _STREAMS_AT_ONCE:
                _write(connection, found, projections, head)
                found = _nothing()
    _write(connection, found, projections, head)
    return told


def _nothing() -> _Consequences:
    return _Consequences([], [], [], [], [], [], [], [])


def _take(
    found: _Consequences,
    told: Refolded,
    stream: Iterator[_StoredEvent],
    now: datetime,
    lapses: Lapses,
) -> None:
    bodies = _Bodies()
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
            told.is_readable = bodies.is_certain = False
            continue  # of a newer version, or broken: what can be read is shown
        happened = Happened(stored.stream_id, version, stored.occurred_at, stored.command_id, event)
        before, state = state, evolve(state, happened)
        at.setdefault("created", stored.recorded_at)
        if isinstance(state, Execution) and isinstance(before, Execution):
            if state.status != before.status:
                at[state.status] = stored.recorded_at
            if state.cancel_requested_at is not None:
                at.setdefault("cancel_requested", stored.recorded_at)
        bodies.take(stored, event)
        told.texts.take(stored.position, stored.stream_id, event)
    if state is not None and last is not None:
        found.changes.append(Change(None, state, last.position))
        if isinstance(state, Execution):
            _operate(found, state, at, now, lapses)
            bodies.note(found, state.id)


class _Bodies:
    """Which bodies the events of one execution name, and which of them they erase."""

    def __init__(self) -> None:
        self._messages: list[tuple[int, str]] = []
        self._outputs: list[dict[str, Any]] = []
        self._output_erased = False
        self._messages_erased_before = 0
        self.is_certain = True

    def take(self, stored: _StoredEvent, event: Event) -> None:
        """Take in one event; they come in order."""
        if isinstance(event, BodiesErased):
            self._output_erased |= event.output
            if event.messages:
                self._messages_erased_before = stored.version
        ending: Ending | None = getattr(event, "ending", None)
        if ending is None:
            return
        if ending.message is not None:
            self._messages.append((stored.version, ending.message.sha256))
        for name, number in STREAMS.items():
            digest = ending.stdout if name == "stdout" else ending.stderr
            if digest.kept_bytes:
                said = {"kept_bytes": digest.kept_bytes, "sha256": digest.kept_sha256}
                self._outputs.append({"stream": number} | said)

    def note(self, found: _Consequences, execution_id: UUID) -> None:
        """Note what must be there, what must not, and what may or may not."""
        one: dict[str, Any] = {"execution_id": execution_id}
        for version, sha256 in self._messages:
            is_erased = self._certain(is_erased=version < self._messages_erased_before)
            said = {"version": version, "sha256": sha256, "is_erased": is_erased}
            found.messages.append(one | said)
        one["is_erased"] = self._certain(is_erased=self._output_erased)
        found.executions.append(one)
        # What was erased has nothing to be compared with.
        if not self._output_erased:
            found.outputs += [one | said for said in self._outputs]

    def _certain(self, *, is_erased: bool) -> bool | None:
        """An event that cannot be read may erase what the others do not."""
        return is_erased if is_erased or self.is_certain else None


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
        move = [one.decode() for one in changes.moved(changes.named(projections), head)]
        cursor.execute(changes.MOVE.encode(), move)
        operations = [found.queue, found.leases, found.cancels, found.held]
        cursor.execute(sql.named("import_operations").encode(), _arrays(*operations))
        bodies = _arrays(found.messages, found.outputs, found.executions)
        wrong = cursor.execute(sql.named("wrong_bodies").encode(), bodies).fetchone()
    if wrong is not None:
        raise Refused("The {} of {} {}.".format(*wrong))


def _arrays(*parts: list[dict[str, Any]]) -> list[str]:
    return [msgspec.json.encode(rows).decode() for rows in parts]
