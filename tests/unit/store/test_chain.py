"""Positions and hashes: nothing about an event can change without its hash."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest
from msgspec.structs import replace

from store import chain
from store.chain import EventRow, Head, NewEvent
from tests.support import naive

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
LEDGER = UUID(int=1)
ROW = EventRow(
    position=7,
    commit_number=3,
    occurred_at=NOON,
    recorded_at=NOON + timedelta(milliseconds=5),
    ledger_id=LEDGER,
    stream_id=UUID(int=2),
    command_id=UUID(int=3),
    correlation_id=UUID(int=4),
    version=1,
    schema_version=1,
    type="execution.started",
    actor="agent:tok_1",
    payload=b'{"agent_id":"host-1"}',
    leaf_hash=b"",
)
CHANGES: dict[str, Any] = {
    "position": 8,
    "commit_number": 4,
    "occurred_at": NOON + timedelta(microseconds=1),
    "recorded_at": NOON,
    "ledger_id": UUID(int=9),
    "stream_id": UUID(int=9),
    "command_id": UUID(int=9),
    "correlation_id": UUID(int=9),
    "version": 2,
    "schema_version": 2,
    "type": "execution.starteD",
    "actor": "agent:tok_2",
    "payload": b'{"agent_id":"host-2"}',
}
PREVIOUS = bytes(32)


def _new(number: int) -> NewEvent:
    return NewEvent(
        stream_id=UUID(int=number),
        version=1,
        type="execution.started",
        schema_version=1,
        occurred_at=NOON,
        actor="agent:tok_1",
        command_id=UUID(int=3),
        correlation_id=UUID(int=4),
        payload=b"{}",
    )


@pytest.mark.parametrize("column", [n for n in EventRow.__struct_fields__ if n != "leaf_hash"])
def test_the_hash_covers_each_column(column: str) -> None:
    """Changing any column, by however little, changes the hash."""
    changed = replace(ROW, **{column: CHANGES[column]})

    assert chain.leaf_hash(changed, PREVIOUS) != chain.leaf_hash(ROW, PREVIOUS)


def test_the_hash_covers_the_one_before() -> None:
    """The same event after another history has another hash."""
    assert chain.leaf_hash(ROW, bytes(31) + b"\1") != chain.leaf_hash(ROW, PREVIOUS)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ({"type": "ab", "actor": "c"}, {"type": "a", "actor": "bc"}),
        ({"actor": "a", "payload": b"bc"}, {"actor": "ab", "payload": b"c"}),
        ({"type": "", "actor": "a"}, {"type": "a", "actor": ""}),
    ],
)
def test_no_two_events_are_laid_out_alike(left: dict[str, Any], right: dict[str, Any]) -> None:
    """Text cannot move from one column to the next without changing the hash."""
    one, other = replace(ROW, **left), replace(ROW, **right)

    assert chain.leaf_hash(one, PREVIOUS) != chain.leaf_hash(other, PREVIOUS)


def test_the_hash_is_the_one_that_is_documented() -> None:
    """Someone who knows only the description computes the same hash."""
    described = naive.leaf_hash(msgspec.structs.asdict(ROW), PREVIOUS)

    assert chain.leaf_hash(ROW, PREVIOUS) == described
    assert chain.leaf_hash(ROW, PREVIOUS).hex() == (
        "341b79af3a9a85f77238ad7a614246e0d20ee98e87a71216f6c4cfbaa457191f"
    )


def test_a_commit_extends_the_head() -> None:
    """Positions go on without a hole, all events of a commit share number and time."""
    head = Head(position=4, commit_number=2, recorded_at=NOON, leaf_hash=PREVIOUS)
    later = NOON + timedelta(seconds=1)

    commit, after = chain.extend(head, LEDGER, later, [_new(1), _new(2)], 3)

    assert [event.position for event in commit.events] == [5, 6]
    assert (commit.commit_number, commit.recorded_at, commit.ledger_id) == (3, later, LEDGER)
    assert after == Head(6, 3, later, commit.events[-1].leaf_hash)
    previous = PREVIOUS
    for event in commit.events:
        row = EventRow(
            **msgspec.structs.asdict(event),
            commit_number=3,
            recorded_at=later,
            ledger_id=LEDGER,
        )
        previous = chain.leaf_hash(row, previous)
        assert event.leaf_hash == previous


def test_a_commit_of_nothing_leaves_the_head() -> None:
    """Without events no commit is counted."""
    head = chain.beginning(LEDGER)

    assert chain.extend(head, LEDGER, NOON, [], 1)[1] == head


def test_recorded_times_never_go_back() -> None:
    """A database clock that steps back does not make an event older than the one before."""
    head = Head(position=4, commit_number=2, recorded_at=NOON, leaf_hash=PREVIOUS)

    commit, after = chain.extend(head, LEDGER, NOON - timedelta(days=1), [_new(1)], 3)

    assert commit.recorded_at == after.recorded_at == NOON


def test_each_ledger_begins_differently() -> None:
    """The first hash names the ledger, so that two ledgers never share a chain."""
    assert chain.beginning(UUID(int=1)) != chain.beginning(UUID(int=2))
    assert chain.beginning(LEDGER).leaf_hash == naive.first_hash(LEDGER)
    assert chain.beginning(LEDGER).position == 0
