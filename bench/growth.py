"""What commands and reads cost on a ledger with ten times the history, in turns.

Two ledgers on one PostgreSQL, each seeded with whole lives (bench/seeding.py) and rebuilt; one
client in process, without HTTP. In each round both are asked for the same: create, claim, get and
list, 20 times each.

Run: python -m bench.growth [--lives 20000] [--rounds 200] [--json FILE]
"""

import argparse
import asyncio
import shutil
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from pathlib import Path
from typing import Final

import uvloop

from api import wire
from api.app import create_ledger
from api.ledger import Ledger
from api.settings import load
from bench.measure import Measure, machine, paired, write_result
from bench.seeding import seed
from domain import commands
from projections.queries import Filter
from projections.read_models import READ_MODELS
from projections.rebuild import rebuild
from store import database
from store.configurations import Job, seal
from store.embedded import EmbeddedServer
from store.keys import Keys, new_secret
from store.work import ClaimNext, Work

TIMES: Final = 20
_GOAL: Final = 1.1
_KINDS: Final = ("append", "claim", "get", "list")


class Grown:
    """One ledger and what a client does with it."""

    def __init__(self, ledger: Ledger, keys: Keys) -> None:
        self.ledger = ledger
        self._keys = keys
        self._last = ledger.new_id()

    async def append(self) -> None:
        """Create an execution."""
        job = Job("job-1", "bench", "true", 300)
        configuration, digest = seal(job, self._keys)
        self._last = self.ledger.new_id()
        create = commands.Create(
            at=wire.now(),
            by="operator:bench",
            command_id=self.ledger.new_id(),
            execution_id=self._last,
            job_id=job.job_id,
            configuration=digest,
            triggered_by="manual",
            timeout_seconds=300,
        )
        work = Work(create, fresh=True, configuration=configuration)
        await self.ledger.appender.submit(work)

    async def claim(self) -> None:
        """Take the oldest pending execution."""
        claim = ClaimNext(wire.now(), "agent:bench", self.ledger.new_id(), "bench")
        claimed = await self.ledger.appender.submit(Work(claim))
        if claimed.execution is None:
            raise RuntimeError("there was nothing to claim")

    async def get(self) -> None:
        """Look at the last execution."""
        await self.ledger.view(self._last)

    async def list(self) -> None:
        """List the newest 50."""
        await self.ledger.lists.page(Filter(), limit=50, offset=0)

    async def timed(self, kind: str) -> float:
        """Do one thing 20 times; return the median in milliseconds."""
        one: Callable[[], Awaitable[None]] = getattr(self, kind)
        took = []
        for _ in range(TIMES):
            began = time.perf_counter()
            await one()
            took.append((time.perf_counter() - began) * 1000)
        return statistics.median(took)

    async def close(self) -> None:
        """Stop the writer and disconnect."""
        await self.ledger.appender.stop()
        await self.ledger.lists.close()
        await self.ledger.views.close()
        await self.ledger.pool.close()


def _seeded(server: EmbeddedServer, home: Path, keys: Keys, lives: int) -> Grown:
    name = f"grown_{lives}"
    database.create_database(server.conninfo(), name)
    owner = server.conninfo(name)
    ledger_id = database.migrate(owner, keys, password="bench")
    began = time.perf_counter()
    seed(owner, ledger_id, keys, 3 * lives)
    rebuild(owner, READ_MODELS, lambda *_: None)
    print(f"{lives:,} lives in {time.perf_counter() - began:.0f} s", flush=True)
    conninfo = database.server_conninfo(owner, password="bench")
    return Grown(create_ledger(load(home), conninfo, ledger_id, keys), keys)


Taken = dict[tuple[str, int], list[float]]


async def _compared(ledgers: dict[int, Grown], rounds: int) -> Taken:
    took: Taken = {}
    for grown in ledgers.values():
        await grown.ledger.pool.open()
        await grown.ledger.appender.start()
    try:
        for number in range(rounds + 1):
            # In turns: who comes second may find the disk or the processor in another state.
            order = list(ledgers.items())[:: 1 if number % 2 else -1]
            for kind in _KINDS:
                for lives, grown in order:
                    one = await grown.timed(kind)
                    if number:  # the first warms up
                        took.setdefault((kind, lives), []).append(one)
    finally:
        for grown in ledgers.values():
            await grown.close()
    return took


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lives", type=int, default=20_000, help="of the smaller ledger")
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--json", type=Path, help="also write the result there")
    args = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="cronledger-bench-"))
    keys = Keys(new_secret())
    versions = [f"psycopg {version('psycopg')}"]
    machine(versions)
    try:
        with EmbeddedServer(home) as server:
            sizes = (args.lives, 10 * args.lives)
            ledgers = {lives: _seeded(server, home, keys, lives) for lives in sizes}
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                took = runner.run(_compared(ledgers, args.rounds))
    finally:
        shutil.rmtree(home)
    _told(took, sizes, args, versions)


def _told(
    took: Taken, sizes: tuple[int, int], args: argparse.Namespace, versions: list[str]
) -> None:
    small, large = sizes
    ratios = []
    for kind in _KINDS:
        ratio = paired(f"{kind}: ten times the ledger / once", took[kind, large], took[kind, small])
        ratio.goal, ratio.at_least = _GOAL, False
        ratios.append(ratio)
        p50 = statistics.median(took[kind, large])
        print(f"{kind:<8} p50 {p50:7.2f} ms   {statistics.median(ratio.values):5.2f} x")
    write_result(
        args.json,
        name="ten times the ledger",
        what=f"One client in process, without HTTP, on ledgers of {small:,} and {large:,} "
        f"executions of three events each: {TIMES} times create, claim, get and list the newest "
        f"50, {args.rounds} rounds in turns. A value is the median of a round.",
        measures=[
            Measure(f"{kind}, {lives:,} executions", "ms", took[kind, lives])
            for kind in _KINDS
            for lives in sizes
        ],
        ratios=ratios,
        versions=versions,
    )


if __name__ == "__main__":
    main()
