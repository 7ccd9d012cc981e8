"""Recorded events as people and programs see them. Pure: from stored rows to the wire."""

import base64
import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, Generic, TypeVar
from uuid import UUID

import msgspec
from msgspec import Struct

from api import wire
from api.wire_audit import AuditEvent, ExecutionState, LedgerEvent
from api.wire_jobs import JobEvent, JobState
from domain import execution, ids, job
from domain.events import Event, Happened
from domain.execution import Execution
from domain.job import CronJob
from projections import executions
from projections.feed import FeedEntry
from projections.queries import AuditEntry
from store import mapper

_S = TypeVar("_S")

_OF_EXECUTIONS: Final = "execution."
# Fields of events that name executions: the database holds UUIDs, people see ids.
_EXECUTION_IDS: Final = frozenset({"root_id", "retry_of", "retried_as"})
_decoder: Final = msgspec.json.Decoder(dict[str, Any])


class Replayed(Struct, Generic[_S], frozen=True):
    """One event of a stream, or why it cannot be read, and the state after it."""

    entry: AuditEntry
    event: Event | None
    unreadable: str | None
    state: _S | None


def replay(
    stream: UUID, entries: Iterable[AuditEntry], evolve: Callable[[_S | None, Happened], _S | None]
) -> Iterator[Replayed[_S]]:
    """Return the events of one stream, in order, each with the state that `evolve` makes of it.

    One that cannot be read is marked, and leaves the state as it was.
    """
    state: _S | None = None
    for entry in entries:
        event, unreadable = _decoded(entry)
        if event is not None:
            happened = Happened(stream, entry.version, entry.occurred_at, entry.command_id, event)
            state = evolve(state, happened)
        yield Replayed(entry, event, unreadable, state)


def audit_trail(execution_id: UUID, entries: Iterable[AuditEntry]) -> list[AuditEvent]:
    """Return the events of one execution, in order, each with the state after it."""
    return [
        AuditEvent(
            **_common(one.entry),
            correlation_id=ids.to_text(ids.EXECUTION, one.entry.correlation_id),
            data=_data(one.entry.payload),
            unreadable=one.unreadable,
            state=None if one.state is None else _state(one.state),
        )
        for one in replay(execution_id, entries, execution.evolve)
    ]


def job_trail(stream: UUID, entries: Iterable[AuditEntry]) -> list[JobEvent]:
    """Return the events of one job, in order, each with the state after it."""
    return [
        JobEvent(
            **_common(one.entry),
            data=_data(one.entry.payload),
            unreadable=one.unreadable,
            state=None if one.state is None else _job_state(one.state),
        )
        for one in replay(stream, entries, job.evolve)
    ]


def ledger_event(entry: FeedEntry) -> LedgerEvent:
    """Return one event of the whole ledger, of whatever type."""
    of_execution = entry.type.startswith(_OF_EXECUTIONS)
    stream, correlation = str(entry.stream_id), str(entry.correlation_id)
    if of_execution:
        correlation = ids.to_text(ids.EXECUTION, entry.correlation_id)
    return LedgerEvent(
        **_common(entry),
        commit_number=entry.commit_number,
        execution_id=ids.to_text(ids.EXECUTION, entry.stream_id) if of_execution else None,
        job_id=entry.job_id,
        stream_id=stream,
        correlation_id=correlation,
        data=_data(entry.payload),
        unreadable=_decoded(entry)[1],
    )


def _common(entry: AuditEntry) -> dict[str, Any]:
    return {
        "position": entry.position,
        "version": entry.version,
        "type": entry.type,
        "occurred_at": wire.timestamp(entry.occurred_at),
        "recorded_at": wire.timestamp(entry.recorded_at),
        "actor": entry.actor,
        "request_id": ids.to_text(ids.REQUEST, entry.command_id),
        "schema_version": entry.schema_version,
        "leaf_hash": entry.leaf_hash.hex(),
    }


def _decoded(entry: AuditEntry) -> tuple[Event | None, str | None]:
    """Return the event, or why it cannot be read."""
    try:
        return mapper.decode(entry.type, entry.schema_version, entry.payload), None
    except mapper.UnreadableEvent as error:
        return None, str(error).removeprefix(f"{entry.type}: ")
    except RecursionError:
        return None, "nested too deeply"


def _data(payload: bytes) -> dict[str, Any]:
    """Return what is stored, for people: without its type, with ids as they are shown."""
    try:
        data = _decoder.decode(payload)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return {"base64": base64.b64encode(payload).decode()}
    data.pop("type", None)
    for name in _EXECUTION_IDS & data.keys():
        with contextlib.suppress(TypeError, ValueError, AttributeError):
            data[name] = ids.to_text(ids.EXECUTION, UUID(data[name]))
    return data


def _job_state(state: CronJob) -> JobState:
    return JobState(
        status=state.status,
        version=state.version,
        definition=state.definition.sha256,
        configuration=state.configuration.sha256,
        plan=msgspec.to_builtins(state.plan),
        created_at=wire.timestamp(state.created_at),
        updated_at=wire.timestamp(state.updated_at),
        due_since=wire.timestamp(state.due_since),
    )


def _state(state: Execution) -> ExecutionState:
    row = executions.row(state, 0)

    def shown_id(value: UUID | None) -> str | None:
        return None if value is None else ids.to_text(ids.EXECUTION, value)

    return ExecutionState(
        status=state.status,
        version=row.version,
        job_id=row.job_id,
        triggered_by=state.triggered_by,
        attempt=row.attempt,
        root_id=ids.to_text(ids.EXECUTION, row.root_id),
        retry_of=shown_id(row.retry_of),
        retried_as=shown_id(row.retried_as),
        scheduled_for=wire.optional_timestamp(row.scheduled_for),
        timeout_seconds=row.timeout_seconds,
        start_deadline_seconds=row.start_deadline_seconds,
        labels=row.labels or [],
        pinned_agent_id=row.pinned_agent_id,
        agent_id=row.agent_id,
        started_at=wire.optional_timestamp(row.started_at),
        cancel_requested_at=wire.optional_timestamp(row.cancel_requested_at),
        completed_at=wire.optional_timestamp(row.completed_at),
        duration_ms=row.duration_ms,
        exit_code=row.exit_code,
        signal=row.signal,
        failure_reason=state.failure_reason,
        observed_by=state.observed_by,
        late_outcome=None if state.late is None else state.late.outcome,
        late_exit_code=row.late_exit_code,
        late_reported_at=wire.optional_timestamp(row.late_reported_at),
    )
