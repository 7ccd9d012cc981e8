"""Procrastinate as documented: clients defer, one worker with as many tasks as there are clients.

Runs in its own environment (PGHOST and the like say where):

    python -m bench.peers.procrastinate_lives
"""

import asyncio
import logging
import sys
from typing import Any

import procrastinate
import uvloop

from bench.peers.turns import take_turns, until_left_alone, worker_beside

_CLIENTS = 16
# Both parts have an index of their own.
_UNFINISHED = """
SELECT (SELECT count(*) FROM procrastinate_jobs WHERE status = 'todo')
     + (SELECT count(*) FROM procrastinate_jobs WHERE status = 'doing') AS jobs
"""


async def _nothing(configuration: str) -> None:
    """Stand for a command that was run."""


def _application() -> "tuple[procrastinate.App, Any]":
    connector = procrastinate.PsycopgConnector(min_size=_CLIENTS, max_size=_CLIENTS + 4)
    application = procrastinate.App(connector=connector)
    return application, application.task(name="nothing")(_nothing)


async def _work() -> None:
    application, _ = _application()
    async with application.open_async():
        await application.run_worker_async(concurrency=_CLIENTS, install_signal_handlers=False)


async def _lives() -> None:
    application, task = _application()
    async with application.open_async():
        await application.schema_manager.apply_schema_async()

        async def put(batch: int) -> None:
            jobs = [{"configuration": "0" * 64} for _ in range(batch)]
            if batch == 1:
                await task.defer_async(**jobs[0])
            else:
                await task.batch_defer_async(*jobs)

        async def unfinished() -> int:
            row = await application.connector.execute_query_one_async(_UNFINISHED)
            return int(row["jobs"])

        with worker_beside("bench.peers.procrastinate_lives"):
            await take_turns(put, unfinished, _CLIENTS)


if __name__ == "__main__":
    logging.getLogger("procrastinate").setLevel(logging.ERROR)  # "App is instantiated in main"
    uvloop.install()
    if "worker" in sys.argv:
        until_left_alone(_work)
    else:
        asyncio.run(_lives())
