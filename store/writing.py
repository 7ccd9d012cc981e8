"""What a batch writes in one transaction: statements with JSON arrays (sql/write_*.sql)."""

from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec
from msgspec import Struct, field

from domain.events import Envelope
from domain.execution import Execution
from store import chain, mapper, sql
from store.chain import NewEvent
from store.erasure import STATEMENTS as ERASING
from store.erasure import Erasure
from store.rooms import start_seconds
from store.roundtrip import array
from store.work import Configuration, KeptAnswer

# What is written beside events, each by a statement of its own: a JSON array of rows, or of ids.
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


class BatchWrite(Struct):
    """What is written in one transaction, in statements of which most batches need few."""

    commit: chain.Commit
    configurations: list[Configuration] = field(default_factory=list)
    messages: list[dict[str, Any]] = field(default_factory=list)
    queued: list[dict[str, Any]] = field(default_factory=list)
    unqueued: list[UUID] = field(default_factory=list)
    leases: list[dict[str, Any]] = field(default_factory=list)
    cancels: list[dict[str, Any]] = field(default_factory=list)
    answers: list[KeptAnswer] = field(default_factory=list)
    expected: list[dict[str, Any]] = field(default_factory=list)
    erasure: Erasure = field(default_factory=Erasure)

    def statements(self) -> list[tuple[bytes, list[bytes]]]:
        """Return the statements that write it with their parameters, in order; none for nothing."""
        found = []
        if self.commit.events:
            found.append((b"write events", event_parameters(self.commit)))
        for name, statement in _NAMED_PARTS:
            if rows := getattr(self, name):
                rows = array(rows) if rows is self.unqueued else msgspec.json.encode(rows)
                found.append((statement, [rows]))
        # What is erased goes after what came.
        return found + self.erasure.statements(self.commit.recorded_at)


_NAMED_PARTS: Final = [(name, f"write {name}".encode()) for name in _PARTS]


def event_parameters(commit: chain.Commit) -> list[bytes]:
    """Return the parameters of the statement that writes events (sql/write_events.sql)."""
    return [
        msgspec.json.encode(commit.events),
        str(commit.commit_number).encode(),
        commit.recorded_at.isoformat().encode(),
        str(commit.ledger_id).encode(),
    ]


def queued_row(state: Execution, now: datetime) -> dict[str, Any]:
    """Return a row of the pending queue; what most executions do not have is left out."""
    row: dict[str, Any] = {
        "execution_id": state.id,
        "pinned_agent_id": state.pinned_agent_id,
        "configuration": state.configuration.sha256,
    }
    if state.labels:
        row["labels"] = state.labels
    if state.start_deadline_seconds is not None:
        row["start_seconds"] = start_seconds(state, now)
    return row


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
