"""A log that is read by many events at a time is what it is event by event."""

import json
import struct
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import Final, NamedTuple
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from domain.events import Happened
from domain.streams import State, evolve
from projections.folding import fold
from store import mapper
from store.log_streams import Stream, grouped, times
from store.mapper import UnreadableEvent

_GOLDEN: Final = Path(__file__).parents[2] / "golden" / "events"
_STORED: Final = [json.loads(path.read_text()) for path in sorted(_GOLDEN.glob("*.json"))]
_READABLE: Final = [(one["type"], one["schema_version"], one["payload"]) for one in _STORED]
# Unknown, of a version to come, of another type, cut off: and those that only seem to be whole if
# their neighbour goes on where they end.
_UNREADABLE: Final = [
    ("execution.vanished", 1, '{"type":"execution.vanished"}'),
    ("execution.started", 2, '{"type":"execution.started","agent_id":"a"}'),
    ("execution.started", 1, '{"type":"execution.released"}'),
    ("execution.started", 1, '{"type":"execution.started","agent_id":"a","more":['),
    ("execution.started", 1, ']},{"type":"execution.started","agent_id":"a"}'),
    ("execution.started", 1, ""),
]
_BEGAN: Final = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


class _Row(NamedTuple):
    stream: int
    version: int
    at: int
    told: tuple[str, int, str]


_ROWS: Final = st.lists(
    st.builds(
        _Row,
        stream=st.integers(1, 6),
        version=st.integers(1, 9),
        at=st.integers(-(10**15), 10**16),
        told=st.sampled_from(_READABLE) | st.sampled_from(_READABLE + _UNREADABLE),
    ),
    max_size=30,
).map(sorted)


def _copied(row: _Row, position: int) -> memoryview:
    """A row as COPY has it."""
    fixed = (
        *(16, UUID(int=row.stream).bytes, 16, UUID(int=position).bytes),
        *(4, row.version, 2, row.told[1], 8, position, 8, row.at),
    )
    name, payload = row.told[0].encode(), row.told[2].encode()
    return memoryview(
        struct.pack(">hi16si16siiihiqiq", 8, *fixed)
        + struct.pack(f">i{len(name)}si{len(payload)}s", len(name), name, len(payload), payload)
    )


def _one_by_one(stream: int, rows: Sequence[tuple[int, _Row]]) -> Stream:
    happened: list[Happened] = []
    broken = None
    for position, row in rows:
        try:
            event = mapper.decode(*_as_stored(row), stream_id=UUID(int=stream))
        except UnreadableEvent as error:
            broken = error
            break
        at = _BEGAN + row.at * _MICROSECOND
        happened.append(Happened(UUID(int=stream), row.version, at, UUID(int=position), event))
    versions = tuple(row.version for _, row in rows)
    positions = tuple(position for position, _ in rows)
    return Stream(UUID(int=stream), rows[0][1].told[0], versions, positions, happened, broken)


def _as_stored(row: _Row) -> tuple[str, int, bytes]:
    event_type, schema_version, payload = row.told
    return event_type, schema_version, payload.encode()


@given(rows=_ROWS)
def test_many_events_at_a_time_are_what_each_of_them_is(rows: list[_Row]) -> None:
    """Whatever is stored, each stream holds what its events say one by one, up to a broken one."""
    expected = [
        _one_by_one(one, list(found))
        for one, found in groupby(enumerate(rows, 1), lambda numbered: numbered[1].stream)
    ]

    found = [one for batch in grouped(map(_copied, rows, range(1, 99))) for one in batch]

    assert list(map(_told, found)) == list(map(_told, expected))


def _told(stream: Stream) -> tuple[object, ...]:
    """A stream, comparable: errors are equal to nothing but themselves."""
    broken = stream.unreadable
    error = None if broken is None else (str(broken), broken.stream_id)
    return stream.id, stream.kind, stream.versions, stream.positions, stream.happened, error


@given(rows=_ROWS)
def test_a_fold_is_what_evolve_makes_of_each_event(rows: list[_Row]) -> None:
    """The last state of a stream is that after one event and the next, and since when."""
    for batch in grouped(map(_copied, rows, range(1, 99))):
        for stream in batch:
            state: State | None = None
            for happened in stream.happened:
                state = evolve(state, happened)
            readable = stream.positions[: len(stream.happened)]
            assert fold(stream) == (state, readable[-1] if readable else 0)


def test_a_stream_is_never_parted() -> None:
    """Given one longer than a batch and others around it, each stream comes once and whole."""
    told = _READABLE[0]
    sizes = {1: 150, 2: 1000, 3: 3, 4: 300}
    rows = [_Row(one, n, 0, told) for one, size in sizes.items() for n in range(1, size + 1)]

    found = [one for batch in grouped(map(_copied, rows, range(1, 9999))) for one in batch]

    assert {one.id.int: len(one.versions) for one in found} == sizes
    assert len(found) == len(sizes)


@given(
    microseconds=st.lists(
        st.integers(-(10**15), 10**16)
        | st.integers(-63_082_281_600 * 10**6, 252_455_615_999_999_999),
        min_size=1,
    )
)
def test_times_are_exact_to_the_microsecond(microseconds: list[int]) -> None:
    """Every time that PostgreSQL and Python can both tell is that one, and not the one beside."""
    assert times(microseconds) == [_BEGAN + one * _MICROSECOND for one in microseconds]
