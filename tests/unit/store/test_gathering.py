"""Whom a batch waits for: those who were just told, as long as somebody may be on the way."""

import asyncio
import time
from collections.abc import Iterator
from typing import Final

import pytest

from store import gathering
from store.gathering import gather

pytestmark = pytest.mark.anyio
_QUIET_TURN: Final = gathering.QUIET_TURN_SECONDS / 2
_BUSY_TURN: Final = gathering.QUIET_TURN_SECONDS * 2


class _Turns:
    """A clock on which the turns of the event loop take as long as is said, and are counted."""

    def __init__(self, turns: Iterator[float]) -> None:
        self._turns = turns
        self._now = 0.0
        self.taken = -1  # the first reading begins

    def __call__(self) -> float:
        self._now += next(self._turns) if self.taken >= 0 else 0.0
        self.taken += 1
        return self._now

    @property
    def passed(self) -> float:
        return self._now


def _all(seconds: float) -> Iterator[float]:
    while True:
        yield seconds


async def test_nobody_waits_for_a_few() -> None:
    """Less than four are not waited for at all."""
    clock = _Turns(_all(_QUIET_TURN))

    await gather([], gathering.FEW - 1, clock)

    assert clock.taken == -1


async def test_it_ends_as_soon_as_all_are_back() -> None:
    """However busy the event loop is: once they are all there, nothing is waited for."""
    queue: list[int] = []

    def coming() -> Iterator[float]:
        while True:
            queue.append(len(queue))
            yield _BUSY_TURN

    clock = _Turns(coming())
    await gather(queue, 8, clock)

    assert len(queue) == clock.taken == 8


async def test_it_ends_when_the_event_loop_is_quiet() -> None:
    """Nobody comes, and the loop has nothing to do: 0.3 ms, counted in short turns."""
    clock = _Turns(_all(_QUIET_TURN))

    await gather([], 8, clock)

    assert clock.passed == pytest.approx(gathering.QUIET_SECONDS, abs=_QUIET_TURN)


async def test_a_busy_turn_begins_the_quiet_anew() -> None:
    """As long as the loop has something to do now and then, somebody may be on the way."""

    def turns() -> Iterator[float]:
        for _ in range(20):
            yield from [_QUIET_TURN] * 5 + [_BUSY_TURN]
        yield from _all(_QUIET_TURN)

    clock = _Turns(turns())
    await gather([], 8, clock)

    assert clock.taken >= 20 * 6
    assert clock.passed < gathering.SECONDS_MAX


async def test_a_loop_that_is_always_busy_is_waited_for_ten_milliseconds() -> None:
    """Others keep the loop busy: the batch goes without those who were expected."""
    clock = _Turns(_all(_BUSY_TURN))

    await gather([], 8, clock)

    assert clock.passed == pytest.approx(gathering.SECONDS_MAX, abs=2 * _BUSY_TURN)


async def test_the_real_clock_tells_short_turns_apart() -> None:
    """On the event loop that a server has, an idle wait ends far earlier than a busy one."""
    loop = asyncio.get_running_loop()
    waits = []
    for _ in range(10):
        began = time.perf_counter()
        await gather([], 8)
        waits.append(time.perf_counter() - began)

    assert type(loop).__module__.startswith("uvloop")
    assert min(waits) < gathering.SECONDS_MAX / 2
