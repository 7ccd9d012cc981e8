"""One read answers all who asked the same before it began, and nobody who asked later."""

import asyncio

import pytest

from api.joint_reads import JointReads

pytestmark = pytest.mark.anyio


class Reading:
    """Reads that end when they are told to; each finds how many have begun."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.ends: list[asyncio.Future[None]] = []
        self.joint = JointReads(self._read)

    async def _read(self, question: str) -> int:
        self.begun.append(question)
        number = len(self.begun)
        self.ends.append(asyncio.get_running_loop().create_future())
        await self.ends[-1]
        return number

    async def asked(self, question: str = "newest") -> asyncio.Task[int]:
        """Ask, and come as far as one gets without an answer."""
        task = asyncio.create_task(self.joint.answer(question))
        for _ in range(3):
            await asyncio.sleep(0)
        return task

    async def end(self, number: int) -> None:
        """End a read, and let what waits for that go on."""
        self.ends[number - 1].set_result(None)
        for _ in range(3):
            await asyncio.sleep(0)


async def test_those_who_ask_meanwhile_are_answered_by_the_next_read() -> None:
    """All of them together, and by none that began before they asked."""
    reading = Reading()
    first = await reading.asked()
    others = [await reading.asked() for _ in range(5)]
    assert reading.begun == ["newest"]
    await reading.end(1)
    late = await reading.asked()
    await reading.end(2)
    await reading.end(3)
    assert [await one for one in (first, *others, late)] == [1, 2, 2, 2, 2, 2, 3]
    again = await reading.asked()
    await reading.end(4)
    assert await again == 4


async def test_other_questions_do_not_wait() -> None:
    """Only the same question is read one at a time."""
    reading = Reading()
    first, other = await reading.asked("newest"), await reading.asked("failed")
    assert reading.begun == ["newest", "failed"]
    await reading.end(2)
    assert await other == 2
    await reading.end(1)
    assert await first == 1


async def test_a_failure_is_of_those_who_asked() -> None:
    """Whoever asks later is answered by a read of their own."""
    reading = Reading()
    first, second = await reading.asked(), await reading.asked()
    reading.ends[0].set_exception(OSError("cut off"))
    with pytest.raises(OSError, match="cut off"):
        await first
    for _ in range(3):
        await asyncio.sleep(0)
    await reading.end(2)
    assert await second == 2


async def test_one_who_goes_away_takes_nothing_from_others() -> None:
    """A read goes on for those who still wait."""
    reading = Reading()
    first, second = await reading.asked(), await reading.asked()
    third = await reading.asked()
    first.cancel()
    second.cancel()
    await reading.end(1)
    await reading.end(2)
    assert await third == 2
