"""The named reads, over the statements in sql/."""

from collections.abc import Sequence
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


class Standing(Struct, frozen=True):
    """One execution as its agent's report is about it: how it stands, and what is stored of it.

    `configuration` is None if it was erased.
    """

    id: UUID
    status: str
    agent_id: str | None
    started_at: datetime | None
    cancel_requested_at: datetime | None
    completed_at: datetime | None
    observed_by: str | None
    late_outcome: str | None
    stdout_kept_bytes: int | None
    stderr_kept_bytes: int | None
    configuration: bytes | None
    stdout: StoredStream
    stderr: StoredStream

    @property
    def is_reported(self) -> bool:
        """Whether the agent itself has said how it ended, in time or late."""
        ended_by_agent = self.completed_at is not None and self.observed_by == "agent"
        return ended_by_agent or self.late_outcome is not None

    @property
    def told(self) -> tuple[StoredStream, StoredStream]:
        """The output that a report is about: up to the end that was reported before, if any."""
        if not self.is_reported:
            return self.stdout, self.stderr
        stdout = self.stdout.sealed(self.stdout_kept_bytes)
        return stdout, self.stderr.sealed(self.stderr_kept_bytes)


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
_STREAMS: Final = 2 * len(StoredStream.__struct_fields__)
_VERSIONS: Final = len(Version.__struct_fields__) - 1


def view(*columns: Any) -> View:
    """Return the columns of one row of `listing`, put together."""
    row, texts = columns[:_ROW_COLUMNS], columns[_ROW_COLUMNS:-_VERSIONS]
    configuration, message, *streams = texts
    return View(Row(*row), Texts(configuration, message, *_streams(streams)))


def standing(*columns: Any) -> Standing:
    """Return the columns of one row of standings.sql, put together."""
    values: list[Any] = [*columns[:-_STREAMS], *_streams(columns[-_STREAMS:])]
    return Standing(*values)


def _streams(columns: Sequence[Any]) -> tuple[StoredStream, StoredStream]:
    half = _STREAMS // 2
    return (
        StoredStream(*columns[:half]) if columns[0] is not None else StoredStream(),
        StoredStream(*columns[half:]) if columns[half] is not None else StoredStream(),
    )


def listed(*columns: Any) -> Listed:
    """Return the columns of one row of `listing`, put together, with their version."""
    return Listed(Version(columns[0], *columns[-_VERSIONS:]), view(*columns))


def versions(chosen: str) -> str:
    """Return the statement that reads no more of executions than their versions."""
    return sql.named("list_versions").format(chosen=chosen)
