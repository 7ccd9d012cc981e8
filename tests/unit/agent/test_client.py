"""Rules of the HTTP client, against a real server."""

import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from agent.client import Client, InvalidUrlError, NotCronledger, Problem, Unreachable
from agent.lease import Lease
from tests.support.fake_server import BASE, DROP_AFTER, TOKEN, FakeServer, problem, serving


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with serving() as fake:
        yield fake


@pytest.fixture
def client(server: FakeServer) -> Iterator[Client]:
    client = Client(server.url, TOKEN)
    yield client
    client.close()


def test_one_connection_serves_many_requests(server: FakeServer, client: Client) -> None:
    """The connection is kept between requests."""
    server.replies["list"] = [(200, {"data": []})] * 2
    assert client.get(BASE).json() == {"data": []}
    kept = client._connection
    assert client.get(BASE, [("status", "failed")]).json() == {"data": []}
    assert client._connection is kept
    assert server.seen("list")[1].query == {"status": "failed"}


def test_a_stale_connection_is_replaced_unnoticed(server: FakeServer, client: Client) -> None:
    """A kept connection that the server has closed costs no failure."""
    server.replies["list"] = [(200, {"n": 1}), (200, {"n": 2}), (200, {"n": 3})]
    client.get(BASE)
    server.fail("list", DROP_AFTER)
    assert client.get(BASE).json() == {"n": 3}


def test_a_lost_answer_on_a_new_connection_is_told(server: FakeServer, client: Client) -> None:
    """Nobody asks twice by themselves: the caller learns that the request may have been done."""
    server.replies["list"] = [(200, {})]
    server.fail("list", DROP_AFTER)
    with pytest.raises(Unreachable) as caught:
        client.get(BASE)
    assert caught.value.sent
    assert "closed without an answer" in str(caught.value)


def test_a_refusal_carries_everything_the_server_said(server: FakeServer, client: Client) -> None:
    """Status, code, sentence and further members of a problem document are there."""
    server.fail("logs", problem(409, "conflict", "there is a gap", expected_offset=17))
    with pytest.raises(Problem) as caught:
        client.post(f"{BASE}/exec_1/logs")
    refusal = caught.value
    assert (refusal.status, refusal.code, str(refusal)) == (409, "conflict", "there is a gap")
    assert (refusal.expected_offset, refusal.passing) == (17, False)


@pytest.mark.parametrize(
    ("status", "passing"), [(503, True), (429, True), (500, True), (404, True), (413, False)]
)
def test_a_refusal_that_is_no_problem_document_is_one_all_the_same(
    server: FakeServer, client: Client, status: int, *, passing: bool
) -> None:
    """A proxy's HTML page becomes a Problem with a made-up code, which may pass."""
    server.fail("list", (status, b"<html>"))
    with pytest.raises(Problem) as caught:
        client.get(BASE)
    assert (caught.value.code, caught.value.passing) == (f"http_{status}", passing)


def test_a_success_that_is_no_json_is_no_answer(server: FakeServer, client: Client) -> None:
    """Another web server on the port is named as the likely mistake."""
    server.fail("list", (200, b"<html>"))
    with pytest.raises(Unreachable, match="not JSON"):
        client.get(BASE).json()


def test_a_refused_connection_was_not_sent() -> None:
    """When nobody listens the request cannot have been carried out."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(Unreachable, match="refused") as caught:
            Client(url, TOKEN).get(BASE)
    assert not caught.value.sent


def test_a_silent_server_is_given_up_after_the_patience() -> None:
    """A server that accepts and says nothing costs no more than the timeout."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        client = Client(f"http://127.0.0.1:{silent.getsockname()[1]}", TOKEN, answer_seconds=0.1)
        with pytest.raises(Unreachable, match="no answer in time"):
            client.get(BASE)


def test_abort_ends_a_long_poll_of_another_thread(server: FakeServer, client: Client) -> None:
    """A waiting request ends when it is cut, and later ones do not begin."""
    # given
    outcome: list[Exception] = []

    def poll() -> None:
        try:
            claim = {"agent_id": "a", "wait_seconds": 30}
            client.post(f"{BASE}/claim", claim, headers={"Claim-Id": "c"})
        except Unreachable as error:
            outcome.append(error)

    waiting = threading.Thread(target=poll)
    waiting.start()
    server.wait_for(lambda: server.requests)
    # when
    client.abort()
    waiting.join(20)
    # then
    assert not waiting.is_alive()
    assert outcome
    with pytest.raises(Unreachable):
        client.get(BASE)


@pytest.mark.parametrize("url", ["ftp://host", "localhost:8420", "http://", "http://h:99999", ""])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    """What is no http(s) address is named before anything is sent."""
    with pytest.raises(InvalidUrlError):
        Client(url, TOKEN)


@pytest.mark.parametrize(
    "execution_id", ["../../etc", "exec_../../etc", "exec_", "exec_a/b", "exec_a\0", ".", None, 7]
)
def test_an_id_that_could_be_a_path_is_no_answer(execution_id: Any) -> None:
    """The id becomes the name of a folder: whoever answers does not choose where that is."""
    lease = {"token": "t", "heartbeat_seconds": 10, "seconds": 30}
    with pytest.raises(NotCronledger):
        Lease.from_answer({"execution": {"id": execution_id}, "lease": lease})
