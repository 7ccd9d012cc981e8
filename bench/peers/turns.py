"""A job queue's turns: how a peer's own process is told to run for so long. Standard library only.

Each line on standard input is `{"seconds": 4, "batch": 1}`; each answer, a line on standard output,
is `{"done": n}`. Clients put jobs in, one after the other or so many at once, while the peer's
worker, a process of its own, takes and finishes them. A turn ends when all that was put in is
finished, so that nothing of it falls on another contender's turn.
"""

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

Put = Callable[[int], Awaitable[object]]
Count = Callable[[], Awaitable[int]]

_WAITING_MAX = 400  # as many jobs wait for the worker: clients pause
_DRAIN_SECONDS = 60


async def take_turns(put: Put, unfinished: Count, clients: int) -> None:
    """Say `ready`, then do what standard input asks for until it ends.

    Args:
        put: commits so many new jobs.
        unfinished: how many jobs are not finished.
        clients: how many put jobs in at the same time.
    """
    print("ready", flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        asked = json.loads(line)
        done = await _turn(put, unfinished, clients, asked["seconds"], asked["batch"])
        print(json.dumps({"done": done}), flush=True)


async def _turn(put: Put, unfinished: Count, clients: int, seconds: float, batch: int) -> int:
    end, waiting, stored = time.perf_counter() + seconds, 0, 0

    async def watch() -> None:
        nonlocal waiting
        while time.perf_counter() < end:
            waiting = await unfinished()
            await asyncio.sleep(0.05)

    async def client() -> None:
        nonlocal waiting, stored
        while time.perf_counter() < end:
            if waiting >= _WAITING_MAX:
                await asyncio.sleep(0.01)
                continue
            waiting += batch
            await put(batch)
            stored += batch

    await asyncio.gather(watch(), *(client() for _ in range(clients)))
    patience = time.perf_counter() + _DRAIN_SECONDS
    while left := await unfinished():
        if time.perf_counter() > patience:
            raise RuntimeError(f"{left} of {stored} jobs are not finished after {_DRAIN_SECONDS} s")
        await asyncio.sleep(0.01)
    return stored


@contextmanager
def worker_beside(module: str) -> Iterator[None]:
    """Run `python -m MODULE worker` meanwhile; it ends with the end of its standard input."""
    command = [sys.executable, "-m", module, "worker"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as worker:
        try:
            yield
        finally:
            worker.kill()


def until_left_alone(work: Callable[[], Awaitable[object]]) -> None:
    """Work until standard input ends, as it does when the process that started this one dies."""

    def watch() -> None:
        sys.stdin.read()
        os._exit(0)

    async def working() -> None:
        await work()

    threading.Thread(target=watch, daemon=True).start()
    asyncio.run(working())
