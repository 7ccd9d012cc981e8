"""One answer, written whole: what ASGI's two messages would have made of it."""

import asyncio
import weakref
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from api.answers import CONNECTION
from api.protocol import Connection


class _Cycle(SimpleNamespace):
    """What uvicorn keeps of a request and its answer, as far as it matters here."""


def _answered(
    *, method: str = "POST", keep_alive: bool = True, headers: Mapping[bytes, bytes] | None = None
) -> tuple[bytes, Any]:
    """Return what was written, and the cycle afterwards; `closed` tells of its connection."""
    written: list[bytes] = []
    cycle: Any = _Cycle(
        scope={"method": method},
        keep_alive=keep_alive,
        disconnected=False,
        default_headers=[(b"date", b"today")],
        flow=SimpleNamespace(write_paused=False),
        message_event=asyncio.Event(),
        response_started=False,
        response_complete=False,
        waiting_for_100_continue=True,
        closed=False,
        ended=False,
    )
    cycle.transport = SimpleNamespace(
        send=written.append, close=lambda: setattr(cycle, "closed", True)
    )
    cycle.on_response = lambda: setattr(cycle, "ended", True)
    given = {b"content-length": b"2", **(headers or {})}
    connection = Connection(cycle)
    cycle.scope["extensions"] = {CONNECTION: connection}
    asyncio.run(connection.answer(200, given.items(), b"{}"))
    return b"".join(written), cycle


def test_an_answer_is_written_at_once() -> None:
    """Head and body leave together, and the connection is kept for the next request."""
    written, cycle = _answered()

    assert written == b"HTTP/1.1 200 OK\r\ndate: today\r\ncontent-length: 2\r\n\r\n{}"
    assert (cycle.response_complete, cycle.ended, cycle.closed) == (True, True, False)


def test_the_last_answer_says_so() -> None:
    """A connection that is not kept is closed after an answer that says so."""
    written, cycle = _answered(keep_alive=False)

    assert b"\r\nconnection: close\r\n\r\n{}" in written
    assert cycle.closed


def test_a_request_is_answered_once() -> None:
    """Another answer would be taken for that of the next request."""
    _, cycle = _answered()

    assert not cycle.waiting_for_100_continue
    for connection in (cycle.scope["extensions"][CONNECTION], Connection(cycle)):
        with pytest.raises(RuntimeError):
            asyncio.run(connection.answer(200, [(b"content-length", b"2")], b"{}"))


def test_a_request_does_not_hold_itself() -> None:
    """It is gone with its last user: else a busy server's garbage collector has much to find."""
    cycle: Any = _Cycle(scope={})
    cycle.scope["extensions"] = {CONNECTION: Connection(cycle)}
    gone = weakref.ref(cycle)

    del cycle

    assert gone() is None


def test_an_answer_to_head_has_no_body() -> None:
    """A HEAD is told how long the body would be, and gets none."""
    written, _ = _answered(method="HEAD")

    assert written.endswith(b"content-length: 2\r\n\r\n")


def test_a_header_cannot_end_the_head() -> None:
    """A value with a line break would be read as more headers, and is refused."""
    with pytest.raises(RuntimeError):
        _answered(headers={b"location": b"/\r\nset-cookie: a=b"})
