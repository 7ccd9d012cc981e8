"""Events that this version cannot read: shown as they are stored, marked, and in nobody's way."""

from collections.abc import Iterator
from itertools import islice
from uuid import UUID

import psycopg
import pytest

from api.bootstrap import DATABASE
from store.embedded import EmbeddedServer
from tests.support.archives import append
from tests.support.calls import Api
from tests.support.following import live_ledger
from tests.support.postgres import Database
from tests.support.server import ServerProcess, running_server

STREAM = UUID("01900000-0000-7000-8000-00000000abcd")
PAYLOADS = [b'{"type":"job.created","name":"x"}', b"\xff\xfe", b"[1]", b"{" * 5000]


@pytest.fixture(scope="module")
def api() -> Iterator[Api]:
    """A server whose ledger holds events of another version, and a broken one."""
    with running_server() as server:
        yield _with_odd_events(server)


def _with_odd_events(server: ServerProcess) -> Api:
    made = server.api.brought_to("failed")["id"]
    owner = EmbeddedServer(server.home).conninfo(DATABASE)
    append(Database("", owner, owner, UUID(int=0)), STREAM, "job.unheard_of", PAYLOADS)
    with psycopg.connect(owner, autocommit=True) as connection:
        connection.execute("ALTER TABLE ledger.events DISABLE TRIGGER USER")
        connection.execute(
            "UPDATE ledger.events SET payload = 'broken' WHERE type = 'execution.started'"
        )
    assert server.api.types(made) == ["created", "started", "completed"]
    return server.api


def test_the_ledger_shows_events_of_unknown_types_as_they_are(api: Api) -> None:
    """Without an execution, by their stream, in pages and live, and found by their type."""
    page = api.request("GET", "/v1/events", {"type": "job.unheard_of"}).ok().json()["data"]
    assert [event["data"] for event in page] == [
        {"name": "x"},
        {"base64": "//4="},
        {"base64": "WzFd"},
        {"base64": page[3]["data"]["base64"]},
    ]
    for event in page:
        assert (event["unreadable"], event["execution_id"]) == ("unknown type", None)
        assert (event["stream_id"], event["version"]) == (str(STREAM), event["position"] - 3)
    with live_ledger(api, after=3) as live:
        assert [event.data for event in islice(live.events(), len(page))] == page


def test_an_execution_with_a_broken_event_is_told_around_it(api: Api) -> None:
    """The event is marked and changes no state; the others are told as ever."""
    made = api.get("").ok().json()["data"][0]["id"]
    trail = api.events(made)
    assert [event["unreadable"] is None for event in trail] == [True, False, True]
    assert trail[1]["data"] == {"base64": "YnJva2Vu"}
    assert [event["state"]["status"] for event in trail] == ["pending", "pending", "failed"]
