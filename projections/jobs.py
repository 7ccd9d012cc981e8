"""The read model of jobs: one row a job that ever was, exactly the fold of its events."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec
from msgspec import Struct

from domain.job import CronJob
from domain.streams import State
from projections import sql
from store.changes import Change

TABLE: Final = "jobs_1"


class Row(Struct, frozen=True, omit_defaults=True):
    """One row of ``read.jobs_1``; the names of the fields are those of the columns."""

    id: UUID
    position: int
    version: int
    job_id: str
    status: str
    definition: str
    configuration: str
    created_at: datetime
    updated_at: datetime
    due_since: datetime
    pinned_agent_id: str | None = None
    tags: list[str] | None = None
    plan: str = ""


def row(state: CronJob, position: int) -> Row:
    """Return the row of `state` after the event at `position`."""
    return Row(
        id=state.id,
        position=position,
        version=state.version,
        job_id=state.job_id,
        status=state.status,
        definition=state.definition.sha256,
        configuration=state.configuration.sha256,
        created_at=state.created_at,
        updated_at=state.updated_at,
        due_since=state.due_since,
        pinned_agent_id=state.plan.pinned_agent_id,
        tags=list(state.plan.tags) or None,
        plan=msgspec.json.encode(state.plan).decode(),
    )


class Jobs:
    """Writes the rows in the transaction of the events, and folds them again for a rebuild."""

    name = "jobs"
    version = 1
    tables: Final[Mapping[str, type[Struct]]] = {TABLE: Row}
    statement = sql.named("upsert_jobs")

    def parameters(self, changes: Sequence[Change]) -> tuple[bytes, ...] | None:
        """Return the parameters of the statement for the jobs that a batch changed."""
        rows = [
            row(change.after, change.position)
            for change in changes
            if isinstance(change.after, CronJob)
        ]
        return (msgspec.json.encode(rows),) if rows else None

    def refold(self) -> "Jobs":
        """Return ourselves: a row needs to know nothing of the others."""
        return self

    def take(self, state: State, position: int) -> Iterable[tuple[str, Struct]]:
        """Return the row of one job; of what is none there is no row."""
        return ((TABLE, row(state, position)),) if isinstance(state, CronJob) else ()

    def join(self, later: "Jobs") -> None:
        """Do nothing: nothing was gathered."""

    def rest(self) -> Iterable[tuple[str, Struct]]:
        """Return nothing: no row waits."""
        return ()
