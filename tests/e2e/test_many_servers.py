"""Two servers on one external database: what one records, the other shows and tells at once."""

import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from store import tokens
from tests.e2e.conftest import QUICK
from tests.support import invariants
from tests.support.calls import Api, eventually, fresh, waiting_claims
from tests.support.following import Live, live_ledger
from tests.support.postgres import Database, Postgres
from tests.support.server import ServerProcess, running_server

SECRET_KEY = bytes(range(32)).hex()
# A busy machine is slow; what nobody is told of takes 30 s (tokens), or does not come at all.
SOON_SECONDS = 10.0
# Who is not told looks by himself after two seconds: sooner than that is by being told.
TOLD_SECONDS = 1.9


@pytest.fixture(scope="module")
def pair(postgres: Postgres) -> Iterator[tuple[ServerProcess, ServerProcess, Database]]:
    """Two servers on one external database."""
    database = postgres.fresh()
    settings = QUICK | {
        "CRONLEDGER_DATABASE_URL": database.owner,
        "CRONLEDGER_SECRET_KEY": SECRET_KEY,
    }
    with running_server(settings=settings) as first, running_server(settings=settings) as second:
        yield first, second, database
        invariants.check(database.owner)
    postgres.drop(database)


def test_a_home_has_one_server_wherever_its_database_is(
    pair: tuple[ServerProcess, ServerProcess, Database],
) -> None:
    """A second one is told who holds it, and ends with 1; clients still find the first."""
    first, _, _ = pair
    third = first.start_another()
    assert (third.returncode, third.stdout) == (1, "")
    assert f"in use by process {first.pid}" in third.stderr
    assert first.url in (first.home / "server.json").read_text()


def test_any_server_shows_what_any_other_has_just_recorded(
    pair: tuple[ServerProcess, ServerProcess, Database],
) -> None:
    """A list right after any command shows it, from the same server and from the other."""
    first, second, _ = pair
    here, there = first.api, Api(second.url, first.admin_token)

    def both(job: str) -> list[list[str]]:
        return [
            [one["status"] for one in api.get("", {"job_id": job}).ok().json()["data"]]
            for api in (here, there)
        ]

    for _ in range(5):
        job, agent = fresh("job"), fresh("agent")
        body: dict[str, Any] = {"job_id": job, "pinned_agent_id": agent}
        here.create(**body)
        assert both(job) == [["pending"]] * 2
        held = there.claim(agent)
        assert held is not None
        assert both(job) == [["running"]] * 2
        held.api = here
        held.complete(outcome="exited", exit_code=1).ok()
        assert both(job) == [["failed"]] * 2
        there.post(f"/{held.id}/retry").ok(201)
        assert both(job) == [["pending", "failed"]] * 2


def test_work_and_cancels_are_heard_across_servers(
    pair: tuple[ServerProcess, ServerProcess, Database],
) -> None:
    """Who waits at one server hears at once of what is asked of the other."""
    first, second, _ = pair
    here, there, agent = first.api, Api(second.url, first.admin_token), fresh("agent")
    with ThreadPoolExecutor(1) as threads:
        began = time.monotonic()
        poll = threads.submit(there.claim, agent, wait_seconds=30)
        eventually(lambda: waiting_claims(there) >= 1, "a waiting claim")
        here.create(pinned_agent_id=agent)
        held = poll.result()
        assert held is not None
        beat = threads.submit(held.heartbeat, 30)
        here.cancel(held.id).ok(202)
        assert beat.result().ok().json()["cancel_requested"]
        assert time.monotonic() - began < 15
    held.complete(outcome="canceled", exit_code=143, signal=15).ok()


def test_output_and_events_are_followed_across_servers(
    pair: tuple[ServerProcess, ServerProcess, Database],
) -> None:
    """What one server is told, a reader of the other has soon; the end too."""
    first, second, _ = pair
    here, there = first.api, Api(second.url, first.admin_token)
    held = here.start()
    with Live(there, held.id) as live, live_ledger(there, {"execution_id": held.id}) as ledger:
        events, recorded = live.events(), ledger.events()
        created, started = (next(recorded).data["position"] for _ in range(2))
        assert started == created + 1
        for number in range(3):
            held.append(b"line\n", 5 * number).ok()
            began = time.monotonic()
            assert next(events).bytes == b"line\n"
            assert time.monotonic() - began < TOLD_SECONDS
        held.complete(outcome="exited", exit_code=0).ok()
        began = time.monotonic()
        assert next(recorded).data["type"] == "execution.completed"
        assert time.monotonic() - began < TOLD_SECONDS
        assert [event.name for event in events] == ["end"]
        other = Api(first.url, first.admin_token)
        with live_ledger(other, after=started) as resumed:
            assert next(resumed.events()).data["position"] == started + 1


def test_a_revocation_reaches_every_server_soon(
    pair: tuple[ServerProcess, ServerProcess, Database],
) -> None:
    """A token that both servers have just seen work is refused by both."""
    first, second, database = pair
    token_id = uuid.uuid4()
    with psycopg.connect(database.owner, autocommit=True) as connection:
        secret = tokens.create(connection, token_id, "a test's", ["read"])
        clients = [Api(server.url, secret) for server in (first, second)]
        for client in clients:
            client.get().ok()
        assert tokens.revoke(connection, token_id)
    eventually(
        lambda: all(client.get().status == 401 for client in clients),
        "the token's end",
        SOON_SECONDS,
    )
