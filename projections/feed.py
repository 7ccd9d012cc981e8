"""The whole ledger in order of position, page by page, and what a page costs.

Positions have no holes and are committed in their order, so that what was read up to a position
stays read. A page without filters is one index range. With filters it is bounded too: executions
(and all of a job, if that is at most a thousand streams) are found by their streams; else a page
looks at no more than 10,000 positions, and says how far it has looked.
"""

from typing import Any, Final
from uuid import UUID

from msgspec import Struct
from psycopg import AsyncConnection
from psycopg.rows import args_row
from psycopg_pool import AsyncConnectionPool

from domain import ids
from projections import sql
from projections.queries import AuditEntry

WINDOW: Final = 10_000
STREAMS_MAX: Final = 1000


class FeedEntry(AuditEntry, frozen=True):
    """One event of the ledger; `job_id` is that of the execution, job or due time it is of."""

    stream_id: UUID
    commit_number: int
    job_id: str | None


class FeedFilter(Struct, frozen=True):
    """Which events: any of each list that is not empty."""

    type: tuple[str, ...] = ()
    job_id: tuple[str, ...] = ()
    execution_id: tuple[UUID, ...] = ()

    def takes(self, event_type: str, job_id: str | None, stream_id: UUID) -> bool:
        """Tell whether an event is one of them."""
        return (
            (not self.type or event_type in self.type)
            and (not self.job_id or job_id in self.job_id)
            and (not self.execution_id or stream_id in self.execution_id)
        )


EVERYTHING: Final = FeedFilter()


class FeedPage(Struct, frozen=True):
    """Events after a position; `upto` is how far was looked, `head` where the ledger stands."""

    entries: list[FeedEntry]
    upto: int
    head: int


async def head(pool: AsyncConnectionPool[Any]) -> int:
    """Return the last position of the ledger, 0 if nothing is recorded."""
    async with pool.connection() as connection:
        return await _head(connection)


async def page(
    pool: AsyncConnectionPool[Any], chosen: FeedFilter, *, after: int, limit: int
) -> FeedPage:
    """Return the next events after a position that match, at most `limit`."""
    async with pool.connection() as connection:
        # Read first: all up to it is committed, and so is seen by the statements that follow.
        last = await _head(connection)
        if after >= last:
            return FeedPage([], after, last)
        streams = await _streams(connection, chosen)
        upto = last
        if streams is None:
            upto = min(last, after + (limit if chosen == EVERYTHING else WINDOW))
        statement, parameters = _statement(chosen, streams, after, upto, limit)
        async with connection.cursor(binary=True, row_factory=args_row(FeedEntry)) as cursor:
            await cursor.execute(statement.encode(), parameters, prepare=False)
            rows: list[FeedEntry] = await cursor.fetchall()
    return FeedPage(rows, rows[-1].position if len(rows) == limit else upto, last)


async def _head(connection: AsyncConnection[Any]) -> int:
    row = await (await connection.execute(sql.named("feed_head").encode())).fetchone()
    return int(row[0]) if row else 0


async def _streams(connection: AsyncConnection[Any], chosen: FeedFilter) -> list[UUID] | None:
    """Return the streams that the filters leave, None if they are many."""
    if chosen.execution_id:
        return list(set(chosen.execution_id))
    if not chosen.job_id:
        return None
    parameters = {
        "jobs": list(chosen.job_id),
        "job_streams": list(map(ids.job_stream, chosen.job_id)),
        "limit": STREAMS_MAX + 1,
    }
    statement = sql.named("feed_streams_of_jobs").encode()
    cursor = await connection.execute(statement, parameters, prepare=False)
    found = [stream_id for (stream_id,) in await cursor.fetchall()]
    return found if len(found) <= STREAMS_MAX else None


def _statement(
    chosen: FeedFilter, streams: list[UUID] | None, after: int, upto: int, limit: int
) -> tuple[str, dict[str, Any]]:
    """Return the statement that reads one page, and its parameters."""
    parameters: dict[str, Any] = {"after": after, "upto": upto, "limit": limit}
    conditions = ""
    if chosen.type:
        conditions += " AND e.type = ANY(%(types)s)"
        parameters["types"] = list(chosen.type)
    name = "feed_window"
    if streams is not None:
        name = "feed_streams"
        parameters["streams"] = streams
        if chosen.execution_id and chosen.job_id:
            conditions += (
                " AND EXISTS (SELECT 1 FROM read.executions_1 o"
                " WHERE o.id = e.stream_id AND o.job_id = ANY(%(jobs)s))"
            )
            parameters["jobs"] = list(chosen.job_id)
    elif chosen.job_id:
        conditions += " AND job.job_id = ANY(%(jobs)s)"
        parameters["jobs"] = list(chosen.job_id)
    return sql.named(name).replace("{conditions}", conditions), parameters
