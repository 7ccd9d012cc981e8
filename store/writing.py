"""What a batch writes in one transaction: statements with columns of rows (sql/write_*.sql)."""

from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec
from msgspec import Struct, field

from domain.events import Envelope
from domain.execution import Execution
from store import chain, mapper, sql
from store.chain import NewEvent
from store.columns import Columns, Parameters, column, scalar
from store.erasure import STATEMENTS as ERASING
from store.erasure import Erasure
from store.rooms import start_seconds
from store.work import Configuration, KeptAnswer

# What is written beside events, each by a statement of its own.
_PARTS: Final = (
    "configurations",
    "messages",
    "queued",
    "unqueued",
    "leases",
    "cancels",
    "answers",
    "expected",
)
STATEMENTS: Final = {
    f"write {name}".encode(): sql.named(f"write_{name}") for name in ("events", *_PARTS)
} | ERASING
_COLUMNS: Final = {name: Columns(text) for name, text in STATEMENTS.items()}


class QueuedRow(Struct, frozen=True, gc=False):
    """A row of the pending queue."""

    execution_id: UUID
    pinned_agent_id: str | None
    configuration: str
    labels: tuple[str, ...] | None
    start_seconds: float | None


class LeaseRow(Struct, frozen=True, gc=False):
    """A row of the leases."""

    execution_id: UUID
    fence: UUID
    agent_id: str
    lease_seconds: float
    deadline_seconds: float | None


class BatchWrite(Struct):
    """What is written in one transaction, in statements of which most batches need few."""

    commit: chain.Commit
    configurations: list[Configuration] = field(default_factory=list)
    messages: list[dict[str, Any]] = field(default_factory=list)
    queued: list[QueuedRow] = field(default_factory=list)
    unqueued: list[UUID] = field(default_factory=list)
    leases: list[LeaseRow] = field(default_factory=list)
    cancels: list[dict[str, Any]] = field(default_factory=list)
    answers: list[KeptAnswer] = field(default_factory=list)
    expected: list[dict[str, Any]] = field(default_factory=list)
    erasure: Erasure = field(default_factory=Erasure)

    def statements(self) -> list[tuple[bytes, Parameters]]:
        """Return the statements that write it with their parameters, in order; none for nothing.

        The parameters are in binary format, in which JSON is the same as in text.
        """
        found: list[tuple[bytes, Parameters]] = []
        if self.commit.events:
            found.append((b"write events", event_parameters(self.commit)))
        for name, statement in _NAMED_PARTS:
            if rows := getattr(self, name):
                found.append((statement, _parameters(statement, rows)))
        # What is erased goes after what came.
        return found + self.erasure.statements(self.commit.recorded_at)


_NAMED_PARTS: Final = [(name, f"write {name}".encode()) for name in _PARTS]


def _parameters(statement: bytes, rows: list[Any]) -> Parameters:
    """Return rows as columns; those of which a batch has few are JSON."""
    match rows[0]:
        case UUID():
            return [column("uuid", rows)]
        case dict():
            return [msgspec.json.encode(rows)]
        case _:
            return _COLUMNS[statement].of(rows)


def event_parameters(commit: chain.Commit) -> list[bytes | None]:
    """Return the parameters of the statement that writes events, in binary format."""
    return [
        *_COLUMNS[b"write events"].of(commit.events),
        scalar("bigint", commit.commit_number),
        scalar("timestamptz", commit.recorded_at),
        scalar("uuid", commit.ledger_id),
    ]


def queued_row(state: Execution, now: datetime) -> QueuedRow:
    """Return a row of the pending queue."""
    return QueuedRow(
        state.id,
        state.pinned_agent_id,
        state.configuration.sha256,
        state.labels or None,
        start_seconds(state, now),
    )


def new_event(envelope: Envelope) -> NewEvent:
    """Return an event as it is stored, but for its place in the log."""
    event_type, schema_version, payload = mapper.encode(envelope.event)
    return NewEvent(
        stream_id=envelope.originator_id,
        version=envelope.originator_version,
        type=event_type,
        schema_version=schema_version,
        occurred_at=envelope.at,
        actor=envelope.actor,
        command_id=envelope.command_id,
        correlation_id=envelope.correlation_id,
        payload=payload,
    )
