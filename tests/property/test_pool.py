"""A law of the pool of connections: a database that has ended costs no request afterwards."""

import select

import pytest
from psycopg_pool import AsyncConnectionPool

from api.ledger import Ledger
from tests.support.postgres import Database

pytestmark = pytest.mark.anyio


async def test_connections_of_before_are_not_given_out(ledger: Ledger, database: Database) -> None:
    """Each connection that the database has closed is replaced before anybody gets it."""
    # given
    pool = ledger.pool
    async with pool.connection() as first, pool.connection() as second:
        before = {first.info.backend_pid, second.info.backend_pid}
        gone = [first.fileno(), second.fileno()]
    with database.as_owner() as owner:
        owner.execute("SELECT pg_terminate_backend(pid) FROM unnest(%s::int[]) AS pid", [[*before]])
    for descriptor in gone:
        poller = select.poll()
        poller.register(descriptor, select.POLLIN)
        assert poller.poll(20_000)
    # when, then
    for _ in range(2 * len(before)):
        async with pool.connection() as connection:
            found = await (await connection.execute("SELECT 1")).fetchone()
            assert found == (1,)
            assert connection.info.backend_pid not in before


async def test_a_quiet_connection_costs_no_round_trip(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only one over which something has come is asked whether it is still good."""

    async def asked(_connection: object) -> None:
        raise AssertionError

    monkeypatch.setattr(AsyncConnectionPool, "check_connection", asked)
    async with ledger.pool.connection() as connection:
        await connection.execute("SELECT 1")
