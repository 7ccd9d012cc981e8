"""Rules of `cronledger logs --follow`, against a server that answers in parts and breaks off."""

import base64
import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from cli.main import main
from tests.support.fake_server import TOKEN

EVENTS = "text/event-stream"


def output(place: str, offset: int, data: bytes, stream: str = "stdout") -> bytes:
    told = {"stream": stream, "offset": offset, "base64": base64.b64encode(data).decode()}
    return event(place, "output", told)


def event(place: str, name: str, data: Any) -> bytes:
    return f"id: {place}\nevent: {name}\ndata: {json.dumps(data)}\n\n".encode()


END = event("9.9", "end", {"status": "failed", "exit_code": 3})
HELLO = b"retry: 1000\n\n: keep-alive\n\n"


class Answers:
    """What the server answers to one request after the other, and what it was asked."""

    def __init__(self) -> None:
        self.prepared: list[tuple[int, str, bytes]] = []
        self.asked: list[tuple[str, str | None]] = []


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Answers]:
    answers = Answers()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answers.asked.append((self.path.partition("?")[2], self.headers["Last-Event-ID"]))
            status, media_type, body = answers.prepared.pop(0)
            self.send_response(status)
            self.send_header("Content-Type", media_type)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_args: object) -> None:
            """Say nothing."""

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=http.serve_forever, args=(0.02,))
    thread.start()
    monkeypatch.setenv("CRONLEDGER_URL", f"http://127.0.0.1:{http.server_address[1]}")
    monkeypatch.setenv("CRONLEDGER_TOKEN", TOKEN)
    monkeypatch.setattr("cli.follow_logs.time.sleep", lambda _seconds: None)
    yield answers
    http.shutdown()
    http.server_close()
    thread.join()
    assert answers.prepared == []


def test_each_stream_goes_to_its_own_and_nothing_else_is_said(
    server: Answers, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    """Raw bytes, and exit code 0 however the execution ended; only a cut is told, to people."""
    cut = event("5.3", "omitted", {"stream": "stdout", "from": 2, "to": 5})
    parts = [HELLO, output("2.0", 0, b"a\0"), output("2.3", 0, b"err", "stderr"), cut]
    server.prepared = [(200, EVENTS, b"".join([*parts, output("6.3", 5, b"\xff"), END]))]
    assert main(["logs", "-f", "exec_1"]) == 0
    captured = capfdbinary.readouterr()
    told = b"cronledger: 3 bytes of stdout were left out here\n"
    assert (captured.out, captured.err) == (b"a\0\xff", b"err" + told)
    assert server.asked == [("follow=true", None)]


def test_a_lost_connection_is_taken_up_where_it_broke_off(
    server: Answers, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    """After the last whole event, again and again; a busy server is waited for."""
    server.prepared = [
        (200, EVENTS, HELLO),
        (200, EVENTS, HELLO + output("3", 0, b"abc") + output("6", 3, b"def")[:-5]),
        (503, "application/problem+json", b"{}"),
        (200, EVENTS, HELLO + output("6", 3, b"def") + END),
    ]
    assert main(["logs", "--follow", "exec_1", "--stream", "stdout"]) == 0
    assert capfdbinary.readouterr().out == b"abcdef"
    asked = "follow=true&stream=stdout"
    assert server.asked == [(asked, None), (asked, None), (asked, "3"), (asked, "3")]


@pytest.mark.parametrize(
    ("status", "media_type", "code"),
    [(404, "application/json", 1), (401, "application/json", 4), (503, "text/html", 1)],
)
def test_a_refusal_is_told_and_not_tried_again(
    server: Answers, status: int, media_type: str, code: int
) -> None:
    """What the server refuses in the first place is an exit code."""
    server.prepared = [(status, media_type, b"{}")]
    assert main(["logs", "-f", "exec_1"]) == code


def test_a_refusal_after_a_lost_connection_ends_it(server: Answers) -> None:
    """A token that was revoked meanwhile is exit code 4."""
    refused = b'{"error": {"code": "invalid_token"}}'
    server.prepared = [(200, EVENTS, HELLO), (401, "application/problem+json", refused)]
    assert main(["logs", "-f", "exec_1"]) == 4


def test_another_server_on_the_port_is_exit_code_3(
    server: Answers, capsys: pytest.CaptureFixture[str]
) -> None:
    """An answer that is no stream of events is not waited on for ever."""
    server.prepared = [(200, "text/html", b"<html>")]
    assert main(["logs", "-f", "exec_1"]) == 3
    assert "not text/event-stream" in capsys.readouterr().err


def test_an_unreachable_server_is_exit_code_3(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who was never there is not waited for."""
    monkeypatch.setenv("CRONLEDGER_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("CRONLEDGER_TOKEN", TOKEN)
    assert main(["logs", "-f", "exec_1"]) == 3


def test_tail_and_follow_together_are_a_usage_error(server: Answers) -> None:
    """Exit code 2, and nothing is asked."""
    assert main(["logs", "-f", "exec_1", "--tail", "5"]) == 2
    assert server.asked == []


def test_a_person_is_told_how_it_ended(
    server: Answers, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a terminal the last line says the final status; in a pipe nothing does."""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    server.prepared = [(200, EVENTS, HELLO + END)]
    assert main(["logs", "-f", "exec_1"]) == 0
    told = "cronledger: exec_1 has ended: failed, exit code 3\n"
    assert capfd.readouterr() == ("", told)
