"""Stored bytes are read for ever: old shapes become today's, unknown events are left alone."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
import pytest

from domain import errors, events
from domain.execution import Execution
from store import mapper, upcast
from store.batch import Bench
from store.mapper import UnreadableEvent
from store.reading import BatchRead
from store.states import KnownEvent, known_histories
from store.work import Lapses, Work
from tests.unit.domain.histories import COMMANDS, ONE

STREAM = UUID(int=5)


def _from_version_1(body: dict[str, Any]) -> dict[str, Any]:
    """Version 1 of a made-up past called the agent a host."""
    return {"type": body["type"], "agent_id": body["host"]}


def _from_version_0(body: dict[str, Any]) -> dict[str, Any]:
    """And before that its name stood in a list."""
    return {"type": body["type"], "host": body["hosts"][0]}


def test_an_upcaster_brings_an_old_event_to_todays_shape() -> None:
    """A worked example: two old shapes of Started are read as the event of today.

    When a shape changes: raise the event's number in SCHEMA_VERSIONS, add the function that takes
    the old JSON to the next version under (type, old version), and add the old payload to the
    golden ones.
    """
    upcasters = {
        ("execution.started", -1): _from_version_0,
        ("execution.started", 0): _from_version_1,
    }
    oldest = b'{"type":"execution.started","hosts":["host-1","host-2"]}'
    old = b'{"type":"execution.started","host":"host-1"}'
    today = b'{"type":"execution.started","agent_id":"host-1"}'

    read = [
        mapper.decode("execution.started", version, payload, upcasters=upcasters)
        for version, payload in ((-1, oldest), (0, old), (1, today))
    ]

    assert read == [events.Started(agent_id="host-1")] * 3


def test_upcasting_stops_at_the_last_version() -> None:
    """Each step runs once, in order, and a version without a step is today's."""
    steps = {("e", 1): lambda body: body | {"one": True}, ("e", 2): lambda body: body | {"two": 1}}

    assert upcast.upcast(steps, "e", 1, {}) == {"one": True, "two": 1}
    assert upcast.upcast(steps, "e", 2, {}) == {"two": 1}
    assert upcast.upcast(steps, "e", 3, {}) == {}
    assert upcast.upcast(steps, "other", 1, {}) == {}


@pytest.mark.parametrize(
    ("event_type", "payload", "reason"),
    [
        ("execution.paused", b'{"type":"execution.paused"}', "unknown type"),
        ("execution.started", b"{", "truncated"),
        ("execution.started", b"[]", "Expected `object`"),
        ("execution.started", b"\xff", "malformed"),
        ("execution.started", b'{"type":"execution.started"}', "agent_id"),
        ("execution.started", b'{"type":"execution.started","agent_id":5}', "Expected `str`"),
        (
            "execution.started",
            b'{"type":"execution.retried","retried_as":"00000000-0000-0000-0000-000000000001"}',
            "another type",
        ),
    ],
)
def test_what_cannot_be_read_is_said_to_be_so(event_type: str, payload: bytes, reason: str) -> None:
    """An unknown or broken event is one error with type and reason, whatever is wrong with it."""
    with pytest.raises(UnreadableEvent, match=reason) as unreadable:
        mapper.decode(event_type, 1, payload, stream_id=STREAM)

    assert unreadable.value.stream_id == STREAM
    assert str(unreadable.value).startswith(f"{event_type}: ")


def test_an_event_of_a_newer_version_is_read_if_its_shape_allows() -> None:
    """A field that a newer server added is ignored; one that it removed makes it unreadable."""
    more = b'{"type":"execution.started","agent_id":"host-1","slot":4}'

    assert mapper.decode("execution.started", 2, more) == events.Started(agent_id="host-1")
    with pytest.raises(UnreadableEvent):
        mapper.decode("execution.started", 2, b'{"type":"execution.started","slot":4}')


def _known(version: int, event_type: str, payload: bytes) -> KnownEvent:
    return msgspec.convert(
        {
            "stream_id": ONE,
            "version": version,
            "type": event_type,
            "schema_version": 1,
            "occurred_at": datetime(2026, 1, 31, tzinfo=UTC),
            "command_id": UUID(int=3),
            "payload": payload,
        },
        KnownEvent,
    )


@pytest.mark.parametrize("asked", sorted(COMMANDS))
def test_an_unreadable_event_blocks_its_stream(asked: str) -> None:
    """Nothing is written after an event that this server cannot read; the sentence says why."""
    read = BatchRead(
        now=datetime(2026, 1, 31, tzinfo=UTC),
        head=None,
        events=[_known(1, "execution.paused", b"{}")],
    )
    bench = Bench(read, UUID(int=1), Lapses(), "me")

    (verdict,), write = bench.judge([Work(COMMANDS[asked])])

    assert isinstance(verdict, errors.UnreadableStream)
    assert write.commit.events == []
    assert "execution.paused: unknown type" in str(verdict)


def test_unreadable_streams_do_not_touch_the_others() -> None:
    """Of two streams, the broken one is named with its reason and the other is folded."""
    other = UUID(int=6)
    started = b'{"type":"execution.started","agent_id":"host-1"}'
    created = (
        b'{"type":"execution.created","job_id":"j","configuration":{"bytes":1,"sha256":"00"},'
        b'"triggered_by":"manual","timeout_seconds":null,"attempt":1,"root_id":'
        b'"00000000-0000-0000-0000-000000000006"}'
    )
    good = [_known(1, "execution.created", created), _known(2, "execution.started", started)]
    rows = [msgspec.structs.replace(row, stream_id=other) for row in good]

    states, unreadable = known_histories([_known(1, "execution.paused", b"{}"), *rows])

    assert set(unreadable) == {ONE}
    state = states[other]
    assert isinstance(state, Execution)
    assert (state.status, state.version) == ("running", 2)
