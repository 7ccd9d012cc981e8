"""pgqueuer as documented: clients enqueue through a pool, one worker dequeues in batches.

Runs in its own environment (PGHOST and the like say where):

    python -m bench.peers.pgqueuer_lives
"""

import asyncio
import sys

import asyncpg
import uvloop
from pgqueuer.db import AsyncpgPoolDriver
from pgqueuer.models import Job
from pgqueuer.qm import QueueManager
from pgqueuer.queries import Queries

from bench.peers.turns import take_turns, until_left_alone, worker_beside

_CLIENTS = 16
_TAKEN_AT_ONCE = 100
_PAYLOAD = b"0" * 64


async def _nothing(job: Job) -> None:
    """Stand for a command that was run."""


async def _work() -> None:
    manager = QueueManager(Queries.from_asyncpg_connection(await asyncpg.connect()))
    manager.entrypoint("nothing")(_nothing)
    await manager.run(batch_size=_TAKEN_AT_ONCE)


async def _lives() -> None:
    async with asyncpg.create_pool(min_size=_CLIENTS, max_size=_CLIENTS + 2) as pool:
        queries = Queries(AsyncpgPoolDriver(pool))
        await queries.install()

        async def put(batch: int) -> None:
            if batch == 1:
                await queries.enqueue("nothing", _PAYLOAD)
            else:
                await queries.enqueue(["nothing"] * batch, [_PAYLOAD] * batch, [0] * batch)

        async def unfinished() -> int:
            return int(await pool.fetchval("SELECT count(*) FROM pgqueuer"))

        with worker_beside("bench.peers.pgqueuer_lives"):
            await take_turns(put, unfinished, _CLIENTS)


if __name__ == "__main__":
    uvloop.install()
    if "worker" in sys.argv:
        until_left_alone(_work)
    else:
        asyncio.run(_lives())
