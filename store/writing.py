"""What a batch writes in one transaction: one statement of JSON arrays (sql/write_batch.sql)."""

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from msgspec import Struct, field

from domain.events import Envelope
from domain.execution import Execution
from store import chain, mapper
from store.chain import NewEvent
from store.erasure import Erasure
from store.rooms import start_seconds
from store.work import Configuration, KeptAnswer


class BatchWrite(Struct):
    """What is written in one transaction (sql/write_batch.sql), and the states after it."""

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

    def parameters(self) -> list[bytes | None]:
        """Return the statement's parameters in order."""
        # What is erased goes with statements of its own, after this one.
        commit, *parts, _ = msgspec.structs.astuple(self)
        return [
            msgspec.json.encode(commit.events),
            str(commit.commit_number).encode(),
            commit.recorded_at.isoformat().encode(),
            str(commit.ledger_id).encode(),
            *(msgspec.json.encode(rows) if rows else None for rows in parts),
        ]

    def texts(self) -> list[str | None]:
        """Return the same parameters as text."""
        return [None if part is None else part.decode() for part in self.parameters()]


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
