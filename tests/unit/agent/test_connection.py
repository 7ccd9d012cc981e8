"""Laws of the HTTP client: what it makes of whatever bytes answer it."""

import itertools
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.client import Client, Problem, Unreachable
from agent.connection import HEAD_BYTES_MAX, HEADERS_MAX

_STATUS = st.sampled_from(
    ["200 OK", "204 No Content", "100 Continue", "409 Conflict", "503", "0x1"]
)
_LINE = st.sampled_from(
    [
        "Content-Length: 5",
        "Content-Length: 4",
        "Content-Length: -1",
        "Content-Length: 99999999999999999999",
        "Transfer-Encoding: chunked",
        "Transfer-Encoding: gzip, chunked",
        "Connection: close",
        "Retry-After: 9",
        " folded",
        "no colon",
        "",
    ]
)
_BODY = st.sampled_from(
    [
        b"12345",
        b"{}",
        b"5\r\n12345\r\n0\r\n\r\n",
        b"5\r\n1234567\r\n0\r\n\r\n",
        b"-5\r\n",
        b"0_0\r\n",
        b'{"error": {"code": 5, "details": 7}, "detail": []}',
        b"[" * 5000,
    ]
)


def _almost(status: str, lines: list[str], body: bytes) -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", *lines, "", ""]).encode() + body


_ALMOST = st.builds(_almost, _STATUS, st.lists(_LINE, max_size=4), _BODY)


class Answering:
    """A server that meets each connection with the next bytes, piece by piece, and closes it."""

    def __init__(self) -> None:
        self.pieces: Sequence[bytes] = ()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with connection:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                try:
                    connection.recv(65536)
                    for piece in self.pieces:
                        connection.sendall(piece)
                    connection.shutdown(socket.SHUT_WR)
                    connection.recv(65536)  # until the client has seen enough: no reset
                except OSError:
                    continue


@contextmanager
def answering() -> Iterator[Answering]:
    server = Answering()
    try:
        yield server
    finally:
        server.listener.close()


@pytest.fixture(scope="module")
def server() -> Iterator[Answering]:
    with answering() as running:
        yield running


def ask(server: Answering, *pieces: bytes) -> object:
    server.pieces = pieces
    client = Client(server.url, "clk_made_up", answer_seconds=10)
    try:
        return client.get("/v1/cron-executions").body
    finally:
        client.close()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(junk=st.one_of(st.binary(max_size=300), _ALMOST))
def test_whatever_answers_is_an_answer_or_none(server: Answering, junk: bytes) -> None:
    """Bytes of any kind end as an answer, a refusal or as no answer; nothing else, and no wait."""
    with suppress(Problem, Unreachable):
        ask(server, junk)


@settings(max_examples=60, deadline=None)
@given(body=st.binary(max_size=60), cuts=st.lists(st.integers(1, 200), max_size=6), parts=st.data())
def test_a_body_is_the_same_however_it_comes(
    server: Answering, body: bytes, cuts: list[int], parts: st.DataObject
) -> None:
    """Counted, in chunks or up to the end, and however the network cuts it: the bytes are those."""
    # given
    at = parts.draw(st.integers(0, len(body)))
    chunks = [part for part in (body[:at], body[at:]) if part]
    chunked = b"".join(b"%x;x=1\r\n%s\r\n" % (len(part), part) for part in chunks)
    whole = parts.draw(
        st.sampled_from(
            [
                b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s"
                % (len(body), body),
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n%s0\r\nA: b\r\n\r\n"
                % chunked,
                b"HTTP/1.0 200 OK\r\n\r\n" + body,
            ]
        )
    )
    points = sorted({0, len(whole), *(cut for cut in cuts if cut < len(whole))})
    # when
    pieces = [whole[start:stop] for start, stop in itertools.pairwise(points)]
    # then
    assert ask(server, *pieces) == body


@pytest.mark.parametrize(
    "junk",
    [
        b"HTTP/1.1 200 OK\r\nA: " + b"x" * (2 * HEAD_BYTES_MAX),
        b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * HEAD_BYTES_MAX,
        b"HTTP/1.1 200 OK\r\n" + b"".join(b"A%d: b\r\n" % n for n in range(HEADERS_MAX + 1)),
        b"HTTP/1.1 100 Continue\r\n\r\n" * 100,
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + b"A: b\r\n" * 1000,
    ],
)
def test_an_answer_without_end_is_given_up(server: Answering, junk: bytes) -> None:
    """What is larger than any answer of a server is not taken in."""
    with pytest.raises(Unreachable, match="cannot be understood") as caught:
        ask(server, junk)
    assert caught.value.sent


def test_an_answer_that_drips_is_given_up_in_time() -> None:
    """A byte now and then does not renew the patience: the header must have come when it ends."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        over = threading.Event()

        def drip() -> None:
            connection, _ = listener.accept()
            with connection:
                while not over.wait(0.02):
                    try:
                        connection.sendall(b"H")
                    except OSError:
                        return

        threading.Thread(target=drip, daemon=True).start()
        client = Client(f"http://127.0.0.1:{listener.getsockname()[1]}", "t", answer_seconds=0.2)
        with pytest.raises(Unreachable, match="no answer in time"):
            client.get("/")
        over.set()


@pytest.mark.parametrize(
    ("path", "headers"),
    [("/a b", {}), ("/a\r\nX: y", {}), ("/", {"Claim-Id": "a\r\nX: y"}), ("/", {"Claim-Id": "ä"})],
)
def test_a_request_cannot_be_made_to_say_more(
    server: Answering, path: str, headers: dict[str, str]
) -> None:
    """A line break in what came from elsewhere is not sent, and begins no header."""
    client = Client(server.url, "clk_made_up")
    with pytest.raises(Unreachable, match="cannot be sent") as caught:
        client.request("GET", path, headers=headers)
    client.close()
    assert not caught.value.sent


def test_bytes_after_an_answer_are_not_the_next_one(server: Answering) -> None:
    """Who sends more than the answer does not get to answer a question that is not yet asked."""
    server.pieces = [b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\naHTTP/1.1 204 No\r\n\r\n"]
    client = Client(server.url, "clk_made_up")
    assert client.get("/").body == b"a"
    assert client.get("/").body == b"a"
    client.close()


def test_a_place_that_this_machine_cannot_reach_is_passed_over(
    server: Answering, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name may stand for places of families that a kernel does not have."""
    found = socket.getaddrinfo("127.0.0.1", server.listener.getsockname()[1])
    of_no_kernel = 255
    places = [(of_no_kernel, *found[0][1:]), *found]
    monkeypatch.setattr("agent.connection.socket.getaddrinfo", lambda *_, **__: places)
    assert ask(server, b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na") == b"a"


def test_a_server_with_an_ipv6_address_is_reached_and_named() -> None:
    """The brackets belong to the URL and to the header, and not to the address."""
    try:
        listener = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("there is no IPv6 here")
    seen: list[bytes] = []

    def answer() -> None:
        connection, _ = listener.accept()
        with connection:
            seen.append(connection.recv(65536))
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

    with listener:
        port = listener.getsockname()[1]
        threading.Thread(target=answer, daemon=True).start()
        client = Client(f"http://[::1]:{port}/x", "t")
        assert client.get("/y").json() == {}
        client.close()
    assert seen[0].startswith(b"GET /x/y HTTP/1.1\r\nHost: [::1]:%d\r\n" % port)
