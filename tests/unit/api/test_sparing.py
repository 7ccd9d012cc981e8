"""What may come a moment later leaves time to what cannot."""

import asyncio
import time

import pytest

from api import background


@pytest.mark.parametrize(("took", "rest"), [(0.0, 0.0), (0.005, 0.495), (0.5, 1.0)])
def test_rest_is_as_long_as_the_work_asks(
    monkeypatch: pytest.MonkeyPatch, took: float, rest: float
) -> None:
    """After a look it rests 99 times as long as that took, a second at most."""
    clock, slept = iter([10.0, 10.0 + took]), []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(asyncio, "sleep", sleep)

    async def look() -> None:
        async with background.sparing():
            pass

    with pytest.raises(StopIteration):
        look().send(None)

    assert slept == [pytest.approx(rest)]
