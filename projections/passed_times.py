"""The read model of due times on which nothing ran, and the question for them."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec
from msgspec import Struct
from psycopg.rows import args_row
from psycopg_pool import AsyncConnectionPool

from domain.due import PassedTimes
from domain.streams import State
from projections import sql
from store.changes import Change

TABLE: Final = "passed_times_1"


class Row(Struct, frozen=True, omit_defaults=True):
    """One row of ``read.passed_times_1``; the names of the fields are those of the columns."""

    id: UUID
    position: int
    version: int
    job_id: str
    kind: str
    first_due_at: datetime
    last_due_at: datetime
    count: int | None = None
    reason: str = ""
    blocked_by: UUID | None = None


def row(state: PassedTimes, position: int) -> Row:
    """Return the row of `state` after the event at `position`."""
    return Row(
        id=state.id,
        position=position,
        version=state.version,
        job_id=state.job_id,
        kind=state.kind,
        first_due_at=state.first_due_at,
        last_due_at=state.last_due_at,
        count=state.count,
        reason=state.reason,
        blocked_by=state.blocked_by,
    )


class PassedTimesTable:
    """Writes the rows in the transaction of the events, and folds them again for a rebuild."""

    name = "passed_times"
    version = 1
    tables: Final[Mapping[str, type[Struct]]] = {TABLE: Row}
    statement = sql.named("insert_passed_times")

    def parameters(self, changes: Sequence[Change]) -> tuple[bytes, ...] | None:
        """Return the parameters of the statement for what a batch changed."""
        rows = [
            row(change.after, change.position)
            for change in changes
            if isinstance(change.after, PassedTimes)
        ]
        return (msgspec.json.encode(rows),) if rows else None

    def refold(self) -> "PassedTimesTable":
        """Return ourselves: a row needs to know nothing of the others."""
        return self

    def take(self, state: State, position: int) -> Iterable[tuple[str, Struct]]:
        """Return the row of one stream; of what is none there is no row."""
        return ((TABLE, row(state, position)),) if isinstance(state, PassedTimes) else ()

    def join(self, later: "PassedTimesTable") -> None:
        """Do nothing: nothing was gathered."""

    def rest(self) -> Iterable[tuple[str, Struct]]:
        """Return nothing: no row waits."""
        return ()


class Passed(Struct, frozen=True):
    """Due times on which nothing ran, when that was recorded, and the job's name if it is known."""

    row: Row
    recorded_at: datetime
    configuration: bytes | None


async def listed(
    pool: AsyncConnectionPool[Any], job_id: str | None, *, before: int | None, limit: int
) -> list[Passed]:
    """Return what was recorded last, of one job or of all, before the position `before`."""
    clauses, parameters = ["true"], {"limit": limit, "job_id": job_id, "before": before}
    if job_id is not None:
        clauses.append("p.job_id = %(job_id)s")
    if before is not None:
        clauses.append("p.position < %(before)s")
    statement = sql.named("list_passed_times").format(conditions=" AND ".join(clauses))
    async with (
        pool.connection() as connection,
        connection.cursor(row_factory=args_row(_passed)) as cursor,
    ):
        await cursor.execute(statement.encode(), parameters)
        found: list[Passed] = await cursor.fetchall()
    return found


_COLUMNS: Final = len(Row.__struct_fields__)


def _passed(*columns: Any) -> Passed:
    return Passed(Row(*columns[:_COLUMNS]), *columns[_COLUMNS:])
