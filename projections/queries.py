"""The named reads, over the statements in sql/."""

from datetime import datetime
from typing import Any, Final, Generic, TypeVar
from uuid import UUID

from msgspec import Struct
from psycopg.rows import args_row
from psycopg_pool import AsyncConnectionPool

from projections import sql
from projections.executions import Row
from store.output import StoredStream

T = TypeVar("T")
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


class Version(Struct, frozen=True):
    """Of which versions of which rows an execution is shown: equal only if nothing has changed.

    They are the transactions that wrote the rows: of the read model, of the configuration, and of
    the streams of output.
    """

    id: UUID
    row: bytes
    configuration: bytes | None
    outputs: list[bytes]


class Listed(Struct, frozen=True):
    """An execution, and the version that it was read in."""

    version: Version
    view: View


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


class Page(Struct, Generic[T], frozen=True):
    """One page, and how many there are in all (exactly, or at least)."""

    rows: list[T]
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


def listing(chosen: str) -> str:
    """Return the statement that reads whole executions: those that `chosen` gives the rows of."""
    return sql.named("list_executions").format(chosen=chosen)


async def events(pool: AsyncConnectionPool[Any], execution_id: UUID) -> list[AuditEntry]:
    """Return the history of one execution in order; empty if there is no such execution."""
    async with (
        pool.connection() as connection,
        connection.cursor(row_factory=args_row(AuditEntry)) as cursor,
    ):
        await cursor.execute(sql.named("execution_events").encode(), {"execution_id": execution_id})
        entries: list[AuditEntry] = await cursor.fetchall()
    return entries


_ROW_COLUMNS: Final = len(Row.__struct_fields__)
_VERSIONS: Final = len(Version.__struct_fields__) - 1


def view(*columns: Any) -> View:
    """Return the columns of one row of `listing`, put together."""
    row, texts = columns[:_ROW_COLUMNS], columns[_ROW_COLUMNS:-_VERSIONS]
    configuration, message, *streams = texts
    half = len(streams) // 2
    stdout = StoredStream(*streams[:half]) if streams[0] is not None else StoredStream()
    stderr = StoredStream(*streams[half:]) if streams[half] is not None else StoredStream()
    return View(Row(*row), Texts(configuration, message, stdout, stderr))


def listed(*columns: Any) -> Listed:
    """Return the columns of one row of `listing`, put together, with their version."""
    return Listed(Version(columns[0], *columns[-_VERSIONS:]), view(*columns))


def versions(chosen: str) -> str:
    """Return the statement that reads no more of executions than their versions."""
    return sql.named("list_versions").format(chosen=chosen)
