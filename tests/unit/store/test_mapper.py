"""Stored bytes are read for ever: old shapes become today's, unknown events are left alone."""

from datetime import UTC, datetime
from uuid import UUID

import msgspec
import pytest

from domain import errors, events
from domain.execution import Execution
from store import mapper
from store.batch import Bench
from store.mapper import UnreadableEvent
from store.reading import BatchRead
from store.states import KnownEvent, States, known_histories
from store.work import Lapses, Work
from tests.unit.domain.histories import COMMANDS, ONE

STREAM = UUID(int=5)


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


def test_an_event_of_a_newer_version_is_not_read() -> None:
    """A field more is ignored; a higher number says that the old ones may mean something else."""
    more = b'{"type":"execution.started","agent_id":"host-1","slot":4}'

    assert mapper.decode("execution.started", 1, more) == events.Started(agent_id="host-1")
    with pytest.raises(UnreadableEvent, match="version 2, and this server knows 1 at most"):
        mapper.decode("execution.started", 2, more)


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
    bench = Bench(read, UUID(int=1), Lapses(), "me", States().is_stored)

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
