"""The named reads, over the statements in sql/."""

from datetime import datetime
from typing import Any, Final
from uuid import UUID

from msgspec import Struct
from psycopg import AsyncConnection
from psycopg.rows import args_row
from psycopg_pool import AsyncConnectionPool

from domain import ids
from projections import sql
from projections.executions import Row
from store.output import StoredStream

COUNT_MAX: Final = 10_000
SEVERAL_MAX: Final = 1000


class Texts(Struct, frozen=True):
    """The bodies that a row is shown with; None where there is none (any more)."""

    configuration: bytes | None = None
    message: bytes | None = None
    stdout: StoredStream = StoredStream()
    stderr: StoredStream = StoredStream()


class View(Struct, frozen=True):
    """One execution: its row of the read model and the texts beside it."""

    row: Row
    texts: Texts = Texts()


class Filter(Struct, frozen=True):
    """Which executions: any of each list, created in [from, to), older than the cursor.

    `as_of` is the position or the time of which the state counts, None for today's.
    """

    job_id: tuple[str, ...] = ()
    status: tuple[str, ...] = ()
    triggered_by: tuple[str, ...] = ()
    created_from: datetime | None = None
    created_to: datetime | None = None
    before: UUID | None = None
    as_of: int | datetime | None = None


class Page(Struct, frozen=True):
    """One page, and how many there are in all (exactly, or at least)."""

    rows: list[View]
    has_more: bool
    total: int
    total_is_exact: bool


class AuditEntry(Struct, frozen=True):
    """One event of an execution as it is stored."""

    position: int
    version: int
    type: str
    schema_version: int
    occurred_at: datetime
    recorded_at: datetime
    actor: str
    command_id: UUID
    correlation_id: UUID
    payload: bytes
    leaf_hash: bytes


def listing(conditions: str, *, limit: str = "%(limit)s", offset: str = "0") -> str:
    """Return the statement that reads whole executions, filled in."""
    return sql.named("list_executions").format(conditions=conditions, limit=limit, offset=offset)


async def page(pool: AsyncConnectionPool[Any], chosen: Filter, *, limit: int, offset: int) -> Page:
    """Return one page of the executions that match, newest first."""
    conditions, parameters = _conditions(chosen)
    parameters |= {"limit": limit + 1, "offset": offset, "count_max": COUNT_MAX + 1}
    statement = listing(conditions, offset="%(offset)s")
    # A cursor narrows the page, not the total.
    counted, _ = _conditions(chosen, with_cursor=False)
    counting = sql.named("count_executions").replace("{conditions}", counted)
    async with pool.connection() as connection:
        # Filters differ in how many rows they match by orders of magnitude: a plan made once for
        # all of them would be a bad one, so these are planned with their values each time.
        rows = await _views(connection, statement, parameters)
        cursor = await connection.execute(counting.encode(), parameters, prepare=False)
        row = await cursor.fetchone()
    total = row[0] if row else 0
    return Page(
        rows=rows[:limit],
        has_more=len(rows) > limit,
        total=min(total, COUNT_MAX),
        total_is_exact=total <= COUNT_MAX,
    )


async def events(pool: AsyncConnectionPool[Any], execution_id: UUID) -> list[AuditEntry]:
    """Return the history of one execution in order; empty if there is no such execution."""
    async with (
        pool.connection() as connection,
        connection.cursor(row_factory=args_row(AuditEntry)) as cursor,
    ):
        await cursor.execute(sql.named("execution_events").encode(), {"execution_id": execution_id})
        entries: list[AuditEntry] = await cursor.fetchall()
    return entries


async def chosen(
    connection: AsyncConnection[Any], conditions: str, asked: dict[str, Any]
) -> list[View]:
    """Return the executions that `conditions` choose, at most `limit` of `asked`."""
    return await _views(connection, listing(conditions), asked)


def conditions(chosen: Filter) -> tuple[str, dict[str, Any]]:
    """Return the WHERE clause of a filter, and its parameters."""
    return _conditions(chosen)


async def _views(
    connection: AsyncConnection[Any], statement: str, parameters: dict[str, Any]
) -> list[View]:
    async with connection.cursor(binary=True, row_factory=args_row(view)) as cursor:
        await cursor.execute(statement.encode(), parameters, prepare=False)
        return await cursor.fetchall()


_ROW_COLUMNS: Final = len(Row.__struct_fields__)


def view(*columns: Any) -> View:
    """Return the columns of one row of `listing`, put together."""
    row, texts = columns[:_ROW_COLUMNS], columns[_ROW_COLUMNS:]
    configuration, message, *streams = texts
    half = len(streams) // 2
    stdout = StoredStream(*streams[:half]) if streams[0] is not None else StoredStream()
    stderr = StoredStream(*streams[half:]) if streams[half] is not None else StoredStream()
    return View(Row(*row), Texts(configuration, message, stdout, stderr))


def _conditions(chosen: Filter, *, with_cursor: bool = True) -> tuple[str, dict[str, Any]]:
    """Return the WHERE clause and its parameters.

    `from` and `to` become bounds on the id that orders the page, since an id begins with its
    millisecond: one index serves the order and the range.
    """
    clauses: list[str] = []
    parameters: dict[str, Any] = {}
    for column in ("job_id", "status", "triggered_by"):
        values: tuple[str, ...] = getattr(chosen, column)
        if len(values) == 1:
            clauses.append(f"{column} = %({column})s")
            parameters[column] = values[0]
        elif values:
            clauses.append(f"{column} = ANY(%({column})s)")
            parameters[column] = list(values)
    if chosen.created_from is not None:
        clauses.append("id >= %(lowest)s")
        parameters["lowest"] = ids.lowest_at(chosen.created_from)
    if chosen.created_to is not None:
        clauses.append("id < %(beyond)s")
        parameters["beyond"] = ids.lowest_at(chosen.created_to)
    if chosen.before is not None and with_cursor:
        clauses.append("id < %(before)s")
        parameters["before"] = chosen.before
    return ("WHERE " + " AND ".join(clauses) if clauses else ""), parameters
