"""The named reads of jobs, over the statements in sql/."""

from datetime import datetime
from typing import Any, Final
from uuid import UUID

from msgspec import Struct
from psycopg.rows import args_row
from psycopg_pool import AsyncConnectionPool

from domain import ids
from projections import sql
from projections.jobs import Row

_ROW_COLUMNS: Final = len(Row.__struct_fields__)
_NAMES: Final = "JOIN store.configurations n ON n.digest = j.configuration"
_NAME: Final = "lower(convert_from(n.body, 'UTF8')::json ->> 'job_name')"


class LastRun(Struct, frozen=True):
    """The newest execution of a job."""

    execution_id: UUID
    status: str
    started_at: datetime | None

    @property
    def at(self) -> datetime:
        """When it began, or was made if it has not begun."""
        return self.started_at or ids.created_at(self.execution_id)


class JobView(Struct, frozen=True):
    """One job: its row, its bodies (None where they were erased), its newest execution."""

    row: Row
    definition: bytes | None
    configuration: bytes | None
    last: LastRun | None = None


class JobFilter(Struct, frozen=True):
    """Which jobs; `name` is a part of it, in any case of (ASCII) letters."""

    tag: str | None = None
    is_enabled: bool | None = None
    agent_id: str | None = None
    name: str | None = None


class JobPage(Struct, frozen=True):
    """One page, and how many there are in all."""

    jobs: list[JobView]
    total: int


async def one(pool: AsyncConnectionPool[Any], job_id: str) -> JobView | None:
    """Return one job, None if there is none (any more)."""
    parameters = {"id": ids.job_stream(job_id), "limit": 1, "offset": 0}
    found = await _views(pool, "WHERE j.id = %(id)s AND j.status <> 'deleted'", "", parameters)
    return found[0] if found else None


async def page(
    pool: AsyncConnectionPool[Any], chosen: JobFilter, *, limit: int, offset: int
) -> JobPage:
    """Return one page of the jobs that match, newest first."""
    clauses, joined = ["j.status <> 'deleted'"], ""
    parameters: dict[str, Any] = {"limit": limit, "offset": offset}
    if chosen.tag is not None:
        clauses.append("%(tag)s = ANY(j.tags)")
        parameters["tag"] = chosen.tag
    if chosen.is_enabled is not None:
        clauses.append("j.status = %(status)s")
        parameters["status"] = "enabled" if chosen.is_enabled else "paused"
    if chosen.agent_id is not None:
        clauses.append("j.pinned_agent_id = %(agent_id)s")
        parameters["agent_id"] = chosen.agent_id
    if chosen.name:
        joined = _NAMES
        clauses.append(f"position(lower(%(name)s) IN {_NAME}) > 0")
        parameters["name"] = chosen.name
    conditions = "WHERE " + " AND ".join(clauses)
    found = await _views(pool, conditions, joined, parameters)
    statement = sql.named("count_jobs").format(conditions=conditions, joined=joined)
    async with pool.connection() as connection:
        row = await (await connection.execute(statement.encode(), parameters)).fetchone()
    return JobPage(found, row[0] if row else 0)


async def last_run(pool: AsyncConnectionPool[Any], job_id: str) -> LastRun | None:
    """Return the newest execution with this job id, whether there is such a job or not."""
    async with (
        pool.connection() as connection,
        connection.cursor(row_factory=args_row(LastRun)) as cursor,
    ):
        await cursor.execute(
            "SELECT id, status, started_at FROM read.executions_1 WHERE job_id = %s"
            " ORDER BY id DESC LIMIT 1",
            [job_id],
        )
        found: LastRun | None = await cursor.fetchone()
    return found


async def _views(
    pool: AsyncConnectionPool[Any], conditions: str, joined: str, parameters: dict[str, Any]
) -> list[JobView]:
    statement = sql.named("list_jobs").format(conditions=conditions, joined=joined)
    async with (
        pool.connection() as connection,
        connection.cursor(binary=True, row_factory=args_row(_view)) as cursor,
    ):
        await cursor.execute(statement.encode(), parameters)
        found: list[JobView] = await cursor.fetchall()
    return found


def _view(*columns: Any) -> JobView:
    definition, configuration, *newest = columns[_ROW_COLUMNS:]
    last = LastRun(*newest) if newest[0] is not None else None
    return JobView(Row(*columns[:_ROW_COLUMNS]), definition, configuration, last)
