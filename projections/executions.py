"""The read model behind list and get: one row an execution, exactly the fold of its events."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from msgspec import Struct

from domain.execution import Execution
from domain.streams import State
from projections import sql
from store.changes import Change
from store.columns import Columns, Parameters

TABLE: Final = "executions_1"
_STATEMENT: Final = sql.named("upsert_executions")
_COLUMNS: Final = Columns(_STATEMENT)


class Row(Struct, frozen=True, gc=False):
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
    # In the order of the fields: by 32 keywords it takes twice as long, and every batch does it.
    return Row(
        state.id,
        position,
        state.version,
        state.attempt,
        state.status,
        state.triggered_by,
        state.job_id,
        state.configuration.sha256,
        state.root_id,
        state.retry_of,
        state.retried_as,
        state.scheduled_for,
        state.started_at,
        state.cancel_requested_at,
        state.completed_at,
        ending.duration_ms if ending else (0 if state.completed_at else None),
        state.timeout_seconds,
        state.start_deadline_seconds,
        ending.exit_code if ending else None,
        ending.signal if ending else None,
        state.failure_reason,
        state.observed_by,
        state.agent_id,
        state.pinned_agent_id,
        list(state.labels) or None,
        seal.masked if seal else False,
        seal.stdout.kept_bytes if seal else None,
        seal.stderr.kept_bytes if seal else None,
        late.outcome if late else None,
        late.ending.exit_code if late else None,
        late.reported_at if late else None,
        state.held if state.status == "pending" else None,
    )


class Executions:
    """The read model of executions, as `projections.read_models` describes one."""

    name = "executions"
    version = 1
    tables: Final[Mapping[str, type[Struct]]] = {TABLE: Row}
    statement = _STATEMENT

    def parameters(self, changes: Sequence[Change]) -> Parameters | None:
        """Return the parameters of the statement for the executions that a batch changed."""
        rows = [
            row(change.after, change.position)
            for change in changes
            if isinstance(change.after, Execution)
        ]
        return _COLUMNS.of(rows) if rows else None

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
