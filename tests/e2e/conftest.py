"""A server with short periods, and an agent, for all end-to-end tests of a run."""

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import invariants
from tests.support.agents import AgentProcess, running_agent, until_settled
from tests.support.calls import fresh
from tests.support.embedded import open_folder
from tests.support.server import ServerProcess, running_server
from tests.support.tokens import owner_conninfo

QUICK = {
    "CRONLEDGER_LEASE_SECONDS": "3",
    "CRONLEDGER_HEARTBEAT_SECONDS": "1",
    "CRONLEDGER_TIMEOUT_GRACE_SECONDS": "2",
    "CRONLEDGER_CANCEL_SECONDS": "3",
    "CRONLEDGER_SWEEP_SECONDS": "0.1",
}


@pytest.fixture(scope="session")
def shared_server() -> Iterator[ServerProcess]:
    """A server that gives up soon on agents that say nothing."""
    with running_server(settings=QUICK) as started:
        yield started


@pytest.fixture(scope="module")
def quick(shared_server: ServerProcess) -> Iterator[ServerProcess]:
    """That server; after the tests of a module every invariant must hold of all that is in it."""
    yield shared_server
    invariants.check(owner_conninfo(shared_server))
    assert "Traceback" not in shared_server.stderr


@pytest.fixture(scope="session")
def agent(shared_server: ServerProcess) -> Iterator[AgentProcess]:
    """An agent of that server."""
    with running_agent(shared_server) as started:
        yield started
        assert "unexpected" not in started.stderr


@pytest.fixture
def chance() -> random.Random:
    """The choices of this run; the seed is shown if the test fails, and with -s."""
    seed = int(os.environ.get("SOAK_SEED") or random.SystemRandom().randrange(2**32))
    print(f"SOAK_SEED={seed}")  # noqa: T201 - to repeat it
    return random.Random(seed)  # noqa: S311 - a test's choices


@pytest.fixture
def top() -> Iterator[Path]:
    """An empty folder that commands and servers of other users can enter."""
    with open_folder() as path:
        yield path


@pytest.fixture
def agent_id(quick: ServerProcess) -> Iterator[str]:
    """A name for one agent after the other; in the end, none has left anything behind."""
    name = fresh("agent")
    yield name
    until_settled(quick, name)
