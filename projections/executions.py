"""The read model behind list and get: one row an execution, exactly the fold of its events."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec
from msgspec import Struct

from domain.execution import Execution
from domain.streams import State
from projections import sql
from store.changes import Change

TABLE: Final = "executions_1"


class Row(Struct, frozen=True, gc=False, omit_defaults=True):
    """One row of ``read.executions_1``; the names of the fields are those of the columns."""

    id: UUID
    position: int
    version: int
    attempt: int
    status: str
    triggered_by: str
    job_id: str
    configuration: str
    root_id: UUID
    retry_of: UUID | None = None
    retried_as: UUID | None = None
    scheduled_for: datetime | None = None
    started_at: datetime | None = None
    cancel_requested_at: datetime | None = None
    completed_at: datetime | None = None
    duration_ms: int | None = None
    timeout_seconds: int | None = None
    start_deadline_seconds: int | None = None
    exit_code: int | None = None
    signal: int | None = None
    failure_reason: str | None = None
    observed_by: str | None = None
    agent_id: str | None = None
    pinned_agent_id: str | None = None
    labels: list[str] | None = None
    masked: bool = False
    stdout_kept_bytes: int | None = None
    stderr_kept_bytes: int | None = None
    late_outcome: str | None = None
    late_exit_code: int | None = None
    late_reported_at: datetime | None = None
    held: str | None = None


def row(state: Execution, position: int) -> Row:
    """Return the row of `state` after the event at `position`."""
    ending, late = state.ending, state.late
    # A late outcome seals more of the output than the server had when it gave up waiting.
    seal = late.ending if late is not None else ending
    return Row(
        id=state.id,
        position=position,
        version=state.version,
        attempt=state.attempt,
        status=state.status,
        triggered_by=state.triggered_by,
        job_id=state.job_id,
        configuration=state.configuration.sha256,
        root_id=state.root_id,
        retry_of=state.retry_of,
        retried_as=state.retried_as,
        scheduled_for=state.scheduled_for,
        started_at=state.started_at,
        cancel_requested_at=state.cancel_requested_at,
        completed_at=state.completed_at,
        duration_ms=ending.duration_ms if ending else (0 if state.completed_at else None),
        timeout_seconds=state.timeout_seconds,
        start_deadline_seconds=state.start_deadline_seconds,
        exit_code=ending.exit_code if ending else None,
        signal=ending.signal if ending else None,
        failure_reason=state.failure_reason,
        observed_by=state.observed_by,
        agent_id=state.agent_id,
        pinned_agent_id=state.pinned_agent_id,
        labels=list(state.labels) or None,
        masked=seal.masked if seal else False,
        stdout_kept_bytes=seal.stdout.kept_bytes if seal else None,
        stderr_kept_bytes=seal.stderr.kept_bytes if seal else None,
        late_outcome=late.outcome if late else None,
        late_exit_code=late.ending.exit_code if late else None,
        late_reported_at=late.reported_at if late else None,
        held=state.held if state.status == "pending" else None,
    )


class Executions:
    """The read model of executions, as `projections.read_models` describes one."""

    name = "executions"
    version = 1
    tables: Final[Mapping[str, type[Struct]]] = {TABLE: Row}
    statement = sql.named("upsert_executions")

    def parameters(self, changes: Sequence[Change]) -> tuple[bytes, ...] | None:
        """Return the parameters of the statement for the executions that a batch changed."""
        rows = [
            row(change.after, change.position)
            for change in changes
            if isinstance(change.after, Execution)
        ]
        return (msgspec.json.encode(rows),) if rows else None

    def refold(self) -> "Executions":
        """Return ourselves: a row needs to know nothing of the others."""
        return self

    def take(self, state: State, position: int) -> Iterable[tuple[str, Struct]]:
        """Return the row of one execution."""
        return ((TABLE, row(state, position)),) if isinstance(state, Execution) else ()

    def join(self, later: "Executions") -> None:
        """Do nothing: nothing was gathered."""

    def rest(self) -> Iterable[tuple[str, Struct]]:
        """Return nothing: no row waits."""
        return ()
