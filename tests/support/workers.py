"""The agent in this process, with real commands, against the small server of fake_server."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from agent.assignment import Settings
from agent.client import Client
from agent.loop import Agent
from tests.support.fake_server import TOKEN, Execution, FakeServer

DEADLINE_SECONDS = 20.0


class Worker:
    """An agent under test with what it logged."""

    def __init__(
        self,
        server: FakeServer,
        runs: Path,
        concurrency: int = 2,
        claim_id_seconds: float = 30,
        drain_seconds: float = 0,
    ) -> None:
        self.lines: list[str] = []
        self.idle = threading.Event()
        settings = Settings(
            "here",
            runs / "runs",
            concurrency,
            claim_wait_seconds=5,
            kill_grace_seconds=0.5,
            claim_id_seconds=claim_id_seconds,
            drain_seconds=drain_seconds,
        )
        self.agent = Agent(
            settings,
            Client(server.url, TOKEN),
            log=self.lines.append,
            on_idle_for_good=self.idle.set,
        )


@contextmanager
def working(server: FakeServer, runs: Path, **settings: Any) -> Iterator[Worker]:
    """Run an agent while the block runs."""
    worker = Worker(server, runs, **settings)
    worker.agent.start()
    try:
        yield worker
    finally:
        worker.agent.stop()
        server.end_polls()
        assert worker.idle.wait(DEADLINE_SECONDS), worker.lines


def done(server: FakeServer, *executions: Execution) -> None:
    """Wait until the ends of all of them were reported."""
    server.wait_for(lambda: all(execution.reports for execution in executions))
