"""What erasing and retention must know: who shares a configuration, whose output is due to go."""

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from msgspec import Struct
from psycopg_pool import AsyncConnectionPool

from projections import sql
from projections.executions import Row

SHARERS_MAX: Final = 1000
_DUE: Final = (
    "SELECT execution_id, bytes FROM judged WHERE is_due ORDER BY execution_id LIMIT 10000"
)
_JOB_WITH: Final = """
SELECT job_id FROM read.jobs_1
WHERE job_id = %(job_id)s AND configuration = decode(%(digest)s, 'hex') AND status <> 'deleted'"""
_KEPT: Final = """
SELECT encode(digest, 'hex') FROM store.configurations
WHERE digest = ANY(%(digests)s) ORDER BY 1"""
_NAMING: Final = """
SELECT count(*) FROM (
    SELECT 1 FROM read.executions_1
    WHERE job_id = %(job_id)s AND configuration = ANY(%(digests)s) LIMIT %(count_max)s
) AS counted"""
_SUMS: Final = """
SELECT succeeded, count(*), sum(bytes)::bigint, count(*) FILTER (WHERE is_due),
       coalesce(sum(bytes) FILTER (WHERE is_due), 0)::bigint
FROM judged GROUP BY succeeded"""


class Policy(Struct, frozen=True):
    """How long output is kept: in days since the end, and in bytes in all; None is no limit.

    `success` is for executions that succeeded, `failure` for all others that have ended.
    """

    success_days: float | None = None
    success_bytes: int | None = None
    failure_days: float | None = None
    failure_bytes: int | None = None

    @property
    def is_none(self) -> bool:
        """Whether everything is kept."""
        return self == Policy()


class Due(Struct, frozen=True):
    """An execution whose output is due to go."""

    execution_id: UUID
    bytes: int


class Sums(Struct, frozen=True):
    """What is kept of one class of executions, and what of it is due to go."""

    kept_executions: int = 0
    kept_bytes: int = 0
    due_executions: int = 0
    due_bytes: int = 0


async def sharers(pool: AsyncConnectionPool[Any], row: Row) -> int:
    """Return how many other executions have the configuration of `row`, at most 1,000."""
    asked = _of_configuration(row) | {"id": row.id, "count_max": SHARERS_MAX}
    async with pool.connection() as connection:
        cursor = await connection.execute(sql.named("count_sharers").encode(), asked)
        found = await cursor.fetchone()
    return found[0] if found else 0


async def job_with(pool: AsyncConnectionPool[Any], row: Row) -> str | None:
    """Return the job, if there is one, that runs with the configuration of `row`."""
    async with pool.connection() as connection:
        cursor = await connection.execute(_JOB_WITH, _of_configuration(row))
        found = await cursor.fetchone()
    return found[0] if found else None


async def forget_answers(pool: AsyncConnectionPool[Any], row: Row) -> None:
    """Forget answers to repeated requests that show the configuration of `row`."""
    async with pool.connection() as connection:
        await connection.execute(sql.named("forget_answers").encode(), _of_configuration(row))


async def kept_of_job(
    pool: AsyncConnectionPool[Any], job_id: str, digests: Sequence[str]
) -> tuple[list[str], int]:
    """Return which of a job's texts are stored, and how many executions name one of those.

    They are counted no further than 1,000.
    """
    asked = _of_job(job_id, digests)
    async with pool.connection() as connection:
        cursor = await connection.execute(_KEPT, asked)
        kept = [row[0] for row in await cursor.fetchall()]
        cursor = await connection.execute(_NAMING, _of_job(job_id, kept))
        found = await cursor.fetchone()
    return kept, found[0] if found else 0


async def forget_answers_of_job(
    pool: AsyncConnectionPool[Any], stream: UUID, job_id: str, digests: Sequence[str]
) -> None:
    """Forget answers to repeated requests that show a job, or what ran with its former texts."""
    asked = _of_job(job_id, digests) | {"stream": stream}
    async with pool.connection() as connection:
        await connection.execute(sql.named("forget_answers_of_job").encode(), asked)


async def due(pool: AsyncConnectionPool[Any], policy: Policy) -> list[Due]:
    """Return executions whose output is due to go, oldest first, at most 10,000."""
    async with pool.connection() as connection:
        cursor = await connection.execute(_judged(_DUE), _limits(policy), prepare=False)
        return [Due(*row) for row in await cursor.fetchall()]


async def sums(pool: AsyncConnectionPool[Any], policy: Policy) -> tuple[Sums, Sums]:
    """Return what is kept and what is due: of those that succeeded, and of all others."""
    async with pool.connection() as connection:
        cursor = await connection.execute(_judged(_SUMS), _limits(policy), prepare=False)
        found = {succeeded: Sums(*row) for succeeded, *row in await cursor.fetchall()}
    return found.get(True, Sums()), found.get(False, Sums())


def _of_configuration(row: Row) -> dict[str, Any]:
    return {"job_id": row.job_id, "digest": row.configuration}


def _of_job(job_id: str, digests: Sequence[str]) -> dict[str, Any]:
    return {
        "job_id": job_id,
        "digests": [bytes.fromhex(digest) for digest in digests],
        "count_max": SHARERS_MAX,
    }


def _judged(question: str) -> bytes:
    return sql.named("retention_due").replace("{question}", question).encode()


def _limits(policy: Policy) -> dict[str, Any]:
    return {
        "success_days": policy.success_days,
        "success_bytes": policy.success_bytes,
        "failure_days": policy.failure_days,
        "failure_bytes": policy.failure_bytes,
    }
