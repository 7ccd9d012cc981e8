"""What those who act on the log ask of the read models, over the connection that they hold."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from psycopg import AsyncConnection

_JOBS = "SELECT id, job_id FROM read.executions_1 WHERE id = ANY(%s::uuid[])"
_BEFORE = (
    "SELECT status FROM read.executions_1 WHERE job_id = %s AND id < %s"
    " AND status IN ('success', 'failed', 'timeout') ORDER BY id DESC LIMIT 1"
)


async def job_ids(connection: AsyncConnection[Any], executions: Iterable[UUID]) -> dict[UUID, str]:
    """Return the job of each execution."""
    return dict(await (await connection.execute(_JOBS, [list(executions)])).fetchall())


async def status_before(
    connection: AsyncConnection[Any], job_id: str, execution_id: UUID
) -> str | None:
    """Return how the job's execution before this one ended; one that was canceled says nothing."""
    found = await (await connection.execute(_BEFORE, [job_id, execution_id])).fetchone()
    return None if found is None else str(found[0])
