"""Live output: what arrives is what is stored, with an end; and nobody waits for others."""

import random
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.support.calls import Api, Held, eventually
from tests.support.following import Event, Live, joined, metric
from tests.support.problems import check_problem
from tests.support.server import ServerProcess, running_server
from tests.support.tokens import make_token, revoke_token

SEED = 20261124
KIB = 1024


def _end(events: list[Event]) -> Any:
    assert events[-1].name == "end"
    return events[-1].data


def _followers(api: Api) -> int:
    return metric(api, "cronledger_followers")


def test_what_was_written_before_and_after_is_followed_to_the_end(api: Api) -> None:
    """A pending execution is waited for; both streams come as written; then its end, once."""
    # given
    made = api.create(pinned_agent_id="agent-of-follow")
    with Live(api, made["id"]) as live:
        assert live.answer.status == 200
        assert live.answer.headers["Content-Type"] == "text/event-stream"
        assert live.answer.headers["Cache-Control"] == "no-store"
        assert live.answer.headers["X-Accel-Buffering"] == "no"
        events = live.events()
        # when
        held = api.claim("agent-of-follow")
        assert held is not None
        held.append(b"one\n\0\xff").ok()
        first = next(events)
        held.append(b"two", stream="stderr").ok()
        second = next(events)
        held.complete(outcome="exited", exit_code=3).ok()
        rest = list(events)
    # then
    assert (first.data["stream"], first.data["offset"], first.bytes) == (
        "stdout",
        0,
        b"one\n\0\xff",
    )
    assert (second.data["stream"], second.data["offset"], second.bytes) == ("stderr", 0, b"two")
    assert (first.id, second.id) == ("6.0", "6.3")
    assert [(event.name, event.id, event.data) for event in rest] == [
        ("end", "6.3", {"status": "failed", "exit_code": 3})
    ]


@pytest.mark.parametrize("status", ["success", "failed", "timeout", "canceled"])
def test_a_final_execution_is_sent_whole_and_ended_at_once(api: Api, status: str) -> None:
    """What there is, then the end with the status; also if there is no output at all."""
    made = api.brought_to(status)
    with Live(api, made["id"]) as live:
        events = list(live.events())
    assert [event.name for event in events] == ["end"]
    assert _end(events) == {"status": status, "exit_code": made["exit_code"]}


def test_only_the_stream_that_is_named_is_followed(api: Api) -> None:
    """`stream` names one; its event ids are plain offsets."""
    held = api.start()
    held.append(b"out").ok()
    held.append(b"errors", stream="stderr").ok()
    held.complete(outcome="exited", exit_code=0).ok()
    with Live(api, held.id, {"stream": "stderr"}) as live:
        events = list(live.events())
    assert [(event.name, event.id) for event in events] == [("output", "6"), ("end", "6")]
    assert joined(events, "stderr") == b"errors"


def test_bytes_that_were_left_out_are_an_event_of_their_own(api: Api) -> None:
    """`omitted` names the range, between what stands before and after it; also at the very end."""
    held = api.start()
    held.append(b"head").ok()
    held.append(b"", stream="stderr", skip_to=50).ok()
    with Live(api, held.id) as live:
        before = live.until("omitted")
        held.append(b"tail", 4, skip_to=1 << 40).ok()
        held.append(b" end", (1 << 40) + 4).ok()
        held.complete(outcome="exited", exit_code=0).ok()
        after = live.until("end")
    seen = [(event.name, event.data.get("offset", event.data.get("from"))) for event in before]
    assert seen == [("output", 0), ("omitted", 0)]
    assert before[-1].data == {"stream": "stderr", "from": 0, "to": 50}
    assert after[0].data == {"stream": "stdout", "from": 4, "to": 1 << 40}
    assert after[0].id == f"{1 << 40}.50"
    assert joined(after) == b"tail end"


def _written_at_random(held: Held, rng: random.Random) -> None:
    """Write both streams in pieces of all sizes, sometimes leave a range of one out, and end."""
    offsets = {"stdout": 0, "stderr": 0}
    cut = rng.randrange(12)
    for number in range(rng.randrange(1, 12)):
        stream = rng.choice(["stdout", "stderr"])
        data = rng.randbytes(rng.choice([1, 7, 1000, 64 * KIB, 64 * KIB + 1, 200 * KIB]))
        skip_to = None
        if number == cut:
            skip_to = offsets[stream] + rng.randrange(1, 1 << 33)
        held.append(data, offsets[stream], stream, skip_to).ok()
        offsets[stream] = (skip_to or offsets[stream]) + len(data)
    held.complete(outcome="exited", exit_code=0).ok()


@pytest.mark.parametrize("seed", range(SEED, SEED + 12))
def test_whoever_goes_on_after_any_event_misses_nothing_and_sees_nothing_twice(
    api: Api, seed: int
) -> None:
    """Cut after random events and resumed by the last id, the events are those of one reading."""
    # given
    rng = random.Random(seed)  # noqa: S311 - a test's dice
    held = api.start()
    with ThreadPoolExecutor(1) as threads:
        writing = threads.submit(_written_at_random, held, rng)
        # when
        cuts = random.Random(~seed)  # noqa: S311 - a test's dice
        seen: list[Event] = []
        last: str | None = None
        in_query = seed % 2 == 0
        ended = False
        while not ended:
            query = {"last_event_id": last} if in_query and last is not None else None
            with Live(api, held.id, query, after=None if in_query else last) as live:
                for event in live.events():
                    seen.append(event)
                    last = event.id
                    ended = event.name == "end"
                    if cuts.random() < 0.4:
                        break
        writing.result()
    # then
    for stream in ("stdout", "stderr"):
        assert joined(seen, stream) == api.logs(held.id, stream), seed
        at = 0
        for event in seen:
            if event.name != "end" and event.data["stream"] == stream:
                assert event.data.get("offset", event.data.get("from")) == at, seed
                at = event.data["to"] if event.name == "omitted" else at + len(event.bytes)
    assert _end(seen) == {"status": "success", "exit_code": 0}


def test_a_reader_may_begin_within_an_event(api: Api) -> None:
    """Any offset is a place to begin; one beyond the end gets the end alone."""
    held = api.start()
    held.append(b"abcdef").ok()
    held.complete(outcome="exited", exit_code=0).ok()
    for place, expected in (("2", b"cdef"), ("6", b""), ("999", b"")):
        with Live(api, held.id, {"stream": "stdout"}, after=place) as live:
            assert joined(live.until("end")) == expected
    # The header is the newer word: a browser repeats the query of its first request.
    query = {"stream": "stdout", "last_event_id": "0"}
    with Live(api, held.id, query, after="4") as live:
        assert joined(live.until("end")) == b"ef"


@pytest.mark.parametrize(
    ("query", "field"),
    [
        *(({"follow": value}, "follow") for value in ("maybe", "", "1", "True")),
        ({"follow": "true", "tail": 5}, "tail"),
        ({"follow": "true", "stream": "stdin"}, "stream"),
        ({"last_event_id": "5"}, "last_event_id"),
        *(
            ({"follow": "true", "last_event_id": value}, "last_event_id")
            for value in ("", "5", "5.5.5", "-1.0", "x.0", "1e3.0", f"{1 << 60}.0", "5.")
        ),
        ({"follow": "true", "stream": "stdout", "last_event_id": "5.5"}, "last_event_id"),
    ],
)
def test_following_wrongly_is_refused_by_name(api: Api, query: dict[str, str], field: str) -> None:
    """400 with the field, as a problem and not as a stream."""
    made = api.create()["id"]
    check_problem(api.get(f"/{made}/logs", query), 400, field=field)


def test_a_last_event_id_that_was_never_given_is_refused(api: Api) -> None:
    """The header counts as the query does."""
    made, headers = api.create()["id"], {"Last-Event-ID": "five"}
    answer = api.get(f"/{made}/logs", {"follow": "true"}, headers=headers)
    check_problem(answer, 400, field="Last-Event-ID")


def test_following_needs_the_scope_read_and_an_execution(api: Api, server: ServerProcess) -> None:
    """401, 403 and 404 as for every read."""
    made, query = api.create()["id"], {"follow": "true"}
    check_problem(api.with_token(None).get(f"/{made}/logs", query), 401)
    operator = api.with_token(make_token(server, "operate")[1])
    check_problem(operator.get(f"/{made}/logs", query), 403)
    check_problem(api.get("/exec_none/logs", query), 404)


def test_200_followers_cost_one_read_of_each_piece_of_news(api: Api) -> None:
    """However many follow an execution, its output is read once, backlog included."""
    held = api.start()
    held.append(b"before").ok()
    before = metric(api, "cronledger_followed_reads_total")
    lives = [Live(api, held.id) for _ in range(200)]
    try:
        streams = [live.events() for live in lives]
        assert {next(events).bytes for events in streams} == {b"before"}
        assert _followers(api) == 200
        for number in range(3):
            held.append(b"line%d\n" % number, 6 + 6 * number).ok()
            assert {next(events).bytes for events in streams} == {b"line%d\n" % number}
        assert metric(api, "cronledger_followed_reads_total") - before == 4
        held.complete(outcome="exited", exit_code=0).ok()
        for events in streams:
            assert [event.name for event in events] == ["end"]
    finally:
        for live in lives:
            live.close()


def test_a_follower_that_hangs_up_is_forgotten(api: Api) -> None:
    """Nothing is kept for a client that has gone, whether or not there is news."""
    held = api.start()
    eventually(lambda: _followers(api) == 0, "nobody who follows")
    lives = [Live(api, held.id) for _ in range(5)]
    assert _followers(api) == 5
    for live in lives:
        live.close()
    eventually(lambda: _followers(api) == 0, "the end of all followers")


def _never_reads(api: Api, execution: str) -> socket.socket:
    """Follow an execution, and read nothing of it."""
    host, _, port = api.url.removeprefix("http://").partition(":")
    stuck = socket.socket()
    stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    stuck.connect((host, int(port)))
    stuck.sendall(
        f"GET /v1/cron-executions/{execution}/logs?follow=true HTTP/1.1\r\n"
        f"Host: here\r\nAuthorization: Bearer {api.token}\r\n\r\n".encode()
    )
    return stuck


def test_a_reader_that_takes_nothing_is_cut_off_and_holds_up_nobody(api: Api) -> None:
    """Thirty who never read cost little memory and are dropped; one who reads gets everything."""
    # given
    held = api.start()
    for number in range(10):
        held.append(bytes([number]) * (1 << 20), number << 20).ok()
    eventually(lambda: _followers(api) == 0, "nobody who follows")
    memory = metric(api, "cronledger_memory_peak_bytes")
    stuck = [_never_reads(api, held.id) for _ in range(30)]
    eventually(lambda: _followers(api) == 30, "those who never read")
    # when
    with Live(api, held.id) as live:
        seen = []
        for event in live.events():
            seen.append(event)
            if event.id == f"{10 << 20}.0":
                held.complete(outcome="exited", exit_code=0).ok()
    # then
    assert joined(seen) == api.logs(held.id)
    assert _end(seen)["status"] == "success"
    eventually(lambda: _followers(api) == 0, "the end of those who never read")
    # 10 MiB each, and a third more as base64, would be 400 MiB.
    assert metric(api, "cronledger_memory_peak_bytes") - memory < 100 << 20
    for one in stuck:
        one.close()


def test_a_token_that_is_revoked_ends_what_it_follows(api: Api, server: ServerProcess) -> None:
    """Within a few seconds, without an end event; another token's reader goes on."""
    held = api.start()
    token_id, secret = make_token(server, "read")
    with Live(api.with_token(secret), held.id) as live, Live(api, held.id) as other:
        revoke_token(server, token_id)
        began = time.monotonic()
        said = list(live.events())
        assert time.monotonic() - began < 5
        assert [(event.name, "token" in event.data) for event in said] == [("", True)]
        held.complete(outcome="exited", exit_code=0).ok()
        assert _end(list(other.events()))["status"] == "success"


def test_a_server_that_stops_ends_all_that_is_followed() -> None:
    """Within ten seconds, with a comment, and though one reader is stuck; it says nothing odd."""
    with running_server() as server:
        api = server.api
        held = api.start()
        with Live(api, held.id) as live:
            for number in range(10):
                held.append(bytes(1 << 20), number << 20).ok()
            stuck = _never_reads(api, held.id)
            eventually(lambda: _followers(api) == 2, "both followers")
            with ThreadPoolExecutor(1) as threads:
                reading = threads.submit(lambda: list(live.events()))
                began = time.monotonic()
                assert server.stop() == 0
                assert time.monotonic() - began < 10
                assert reading.result()[-1].name == ""
        stuck.close()
        assert "Traceback" not in server.stderr
        assert "ASGI" not in server.stderr
