"""What those who act on the log ask of the read models, over the connection that they hold."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from psycopg import AsyncConnection

from projections import sql
from store.following import Span

_JOBS = "SELECT id, job_id FROM read.executions_1 WHERE id = ANY(%s::uuid[])"
_BEFORE = (
    "SELECT status FROM read.executions_1 WHERE job_id = %s AND id < %s"
    " AND status IN ('success', 'failed', 'timeout') ORDER BY id DESC LIMIT 1"
)


async def jobs_of(connection: AsyncConnection[Any], span: Span, types: Iterable[str]) -> list[str]:
    """Return the jobs of whose executions a piece of the log tells events of these types."""
    asked = {"after": span.after, "until": span.until, "types": list(types)}
    rows = await connection.execute(sql.named("jobs_of_events").encode(), asked)
    return [job_id for (job_id,) in await rows.fetchall()]


async def job_ids(connection: AsyncConnection[Any], executions: Iterable[UUID]) -> dict[UUID, str]:
    """Return the job of each execution."""
    return dict(await (await connection.execute(_JOBS, [list(executions)])).fetchall())


async def status_before(
    connection: AsyncConnection[Any], job_id: str, execution_id: UUID
) -> str | None:
    """Return how the job's execution before this one ended; one that was canceled says nothing."""
    found = await (await connection.execute(_BEFORE, [job_id, execution_id])).fetchone()
    return None if found is None else str(found[0])
