"""What many tests stand on: a PostgreSQL, a database each, and a ledger that runs on it."""

from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from hypothesis import settings
from psycopg import AsyncConnection

from api.ledger import Ledger
from tests.support import invariants
from tests.support.ledgers import Desk, running_ledger
from tests.support.postgres import Database, Postgres, running_postgres
from tests.support.timekeeping import Clock, Timetable, time_server

# No absolute times: a machine that is busy with something else is no fault of what is tested.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


@pytest.hookimpl(trylast=True)  # when those that are not asked for have gone
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let some workers begin with servers and agents, the others with databases.

    `--dist worksteal` gives each a part, and who has done it takes from the end of another's: so
    each server of a session is started once, what waits runs beside what computes, and the short
    tests that need neither come last.
    """
    folders: defaultdict[str, list[pytest.Item]] = defaultdict(list)
    for item in items:
        folders[item.nodeid.split("/")[1]].append(item)
    quick, waiting = folders.pop("unit", []), folders.pop("e2e", [])
    computing = [item for folder in folders.values() for item in folder]
    beside = max(0, len(items) // 2 - len(waiting))
    items[:] = waiting + quick[:beside] + computing + quick[beside:]


@pytest.fixture(scope="session")
def anyio_backend() -> tuple[str, dict[str, bool]]:
    """The event loop that the server uses."""
    return "asyncio", {"use_uvloop": True}


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """One PostgreSQL for this process's run of the tests."""
    with running_postgres() as started:
        yield started


@pytest.fixture
def database(postgres: Postgres) -> Iterator[Database]:
    """A fresh database, migrated and without any event."""
    made = postgres.fresh()
    yield made
    postgres.drop(made)


@pytest.fixture
async def ledger(database: Database) -> AsyncIterator[Ledger]:
    """A running ledger on a fresh database; afterwards every invariant must hold."""
    async with running_ledger(database) as started:
        yield started
    invariants.check(database.owner)


@pytest.fixture
def desk(ledger: Ledger) -> Desk:
    """Where works are handed in."""
    return Desk(ledger)


@pytest.fixture
async def table(database: Database) -> AsyncIterator[Timetable]:
    """One server that schedules, at midnight; afterwards every invariant must hold."""
    async with time_server(database, Clock()) as made:
        yield made
    invariants.check(database.owner)


@pytest.fixture
async def owner(database: Database) -> AsyncIterator[AsyncConnection[Any]]:
    """The owner's own connection, which can hold the lock and end others."""
    async with await AsyncConnection.connect(database.owner, autocommit=True) as connection:
        yield connection
