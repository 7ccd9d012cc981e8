"""Who waits is woken by news for them, and no news is lost on the way."""

import asyncio
import contextlib
from uuid import UUID

import pytest

from api.waiting import ClaimWait, ExecutionWait, Waiting
from store.work import Notice

pytestmark = pytest.mark.anyio
ONE, OTHER = UUID(int=1), UUID(int=2)


def _notice(**news: object) -> Notice:
    return Notice(sender="me", position=1, **news)  # type: ignore[arg-type]


def _gpu() -> Notice:
    return _notice(labelled=[(None, ("gpu",))])


async def _woken(*places: ClaimWait | ExecutionWait) -> list[bool]:
    """Which of these have news by now; nobody waits for any that is still to come."""
    return [
        (place.event if isinstance(place, ClaimWait) else place._event).is_set() for place in places
    ]


async def test_one_execution_wakes_one_claim() -> None:
    """The claim that waits longest is woken, and only that."""
    waiting = Waiting()
    with waiting.claim("a") as first, waiting.claim("b") as second:
        waiting.hear(_notice(pending=[None]))

        assert await _woken(first, second) == [True, False]
        assert waiting.claims == 2


async def test_as_many_claims_are_woken_as_there_is_work() -> None:
    """Two executions wake two claims; a third stays asleep."""
    waiting = Waiting()
    with waiting.claim("a") as first, waiting.claim("b") as second, waiting.claim("c") as third:
        waiting.hear(_notice(pending=[None, None]))

        assert await _woken(first, second, third) == [True, True, False]


async def test_a_pin_wakes_its_agent() -> None:
    """Work for one agent alone wakes that agent, wherever it stands in the queue."""
    waiting = Waiting()
    with waiting.claim("a") as first, waiting.claim("b") as second:
        waiting.hear(_notice(pending=["b", "c"]))

        assert await _woken(first, second) == [False, True]


@pytest.mark.parametrize("looking", [True, False], ids=["while it looks", "before"])
@pytest.mark.parametrize(("pin", "labels"), [(None, ()), ("a", ()), (None, ("gpu",))])
async def test_news_that_was_not_used_goes_to_the_next(
    pin: str | None, labels: tuple[str, ...], *, looking: bool
) -> None:
    """A claim that leaves with news in its hand (its client went away) hands it on."""
    waiting, has = Waiting(), frozenset(labels)
    with contextlib.ExitStack() as stack:
        leaving = stack.enter_context(waiting.claim("a", has))
        with waiting.claim("b") as other, waiting.claim("a", has) as second:
            waiting.hear(_notice(pending=[pin]) if not labels else _gpu())
            if looking:
                assert await leaving.news(30)
            stack.close()

            anyone = (pin, labels) == (None, ())
            assert await _woken(other, second) == [anyone, not anyone]


async def test_labels_wake_an_agent_that_has_them() -> None:
    """Work that asks for labels passes over agents that lack one."""
    waiting = Waiting()
    with (
        waiting.claim("a") as bare,
        waiting.claim("b", frozenset({"ssd"})) as other,
        waiting.claim("c", frozenset({"gpu", "ssd"})) as first,
        waiting.claim("d", frozenset({"gpu"})) as second,
    ):
        waiting.hear(_gpu())
        assert await _woken(bare, other, first, second) == [False, False, True, False]

        waiting.hear(_notice(labelled=[("d", ("gpu",)), ("a", ("gpu",))]))
        assert await _woken(bare, other, first, second) == [False, False, True, True]


async def test_a_claim_that_took_something_else_hands_its_news_on() -> None:
    """Told of work with a label, it took older work without: the labelled work is for the next."""
    waiting = Waiting()
    with contextlib.ExitStack() as stack:
        leaving = stack.enter_context(waiting.claim("a", frozenset({"gpu"})))
        with waiting.claim("b") as bare, waiting.claim("c", frozenset({"gpu"})) as second:
            waiting.hear(_gpu())
            assert await leaving.news(30)
            leaving.took(None, ())
            stack.close()

            assert await _woken(bare, second) == [False, True]


async def test_a_claim_that_took_what_it_was_told_of_wakes_nobody() -> None:
    """Used news is over, and so is news of what others had taken by the time it looked."""
    waiting = Waiting()
    with contextlib.ExitStack() as stack:
        leaving = stack.enter_context(waiting.claim("a", frozenset({"gpu"})))
        with waiting.claim("c", frozenset({"gpu"})) as second:
            waiting.hear(_notice(pending=[None]))
            assert await leaving.news(30)
            # nothing was found; then comes
            waiting.hear(_gpu())
            assert await leaving.news(30)
            leaving.took(None, ("gpu",))
            stack.close()

            assert await _woken(second) == [False]


async def test_a_claim_that_leaves_without_news_wakes_nobody() -> None:
    """Timing out is no news."""
    waiting = Waiting()
    with waiting.claim("a") as second:
        with waiting.claim("b") as leaving:
            assert not await leaving.news(0.001)

        assert await _woken(second) == [False]
    assert waiting.claims == 0


async def test_news_before_the_wait_is_not_missed() -> None:
    """What comes between the first look and the wait is heard at once; once heard it is over."""
    waiting = Waiting()
    with waiting.claim("a") as place:
        waiting.hear(_notice(pending=[None]))

        assert await place.news(30)
        assert not await place.news(0.001)


async def test_news_during_the_wait_ends_it() -> None:
    """A waiting claim is woken by what is heard meanwhile."""
    waiting = Waiting()
    with waiting.claim("a") as place:
        waiter = asyncio.create_task(place.news(30))
        await asyncio.sleep(0)
        waiting.hear(_notice(pending=["a"]))

        assert await asyncio.wait_for(waiter, 5)


@pytest.mark.parametrize("news", ["cancel_requested", "ended"])
async def test_a_heartbeat_hears_of_its_execution(news: str) -> None:
    """A cancel or an end wakes who listens to that execution, all of them, and nobody else."""
    waiting = Waiting()
    with waiting.cancel(ONE) as one, waiting.cancel(ONE) as same, waiting.cancel(OTHER) as other:
        waiting.hear(_notice(**{news: [ONE]}))

        assert await _woken(one, same, other) == [True, True, False]


async def test_followers_hear_of_output_and_ends_and_heartbeats_not_of_output() -> None:
    """Output that is stored here, or an end anywhere, wakes who follows that execution."""
    waiting = Waiting()
    with (
        waiting.output(ONE) as one,
        waiting.output(OTHER) as other,
        waiting.cancel(ONE) as heartbeat,
    ):
        waiting.hear_output(ONE)
        assert await _woken(one, other, heartbeat) == [True, False, False]

        waiting.hear(_notice(ended=[OTHER]))
        assert await _woken(one, other, heartbeat) == [True, True, False]
    assert dict(waiting._outputs) == {}


async def test_too_much_news_wakes_everyone() -> None:
    """When a notice could not name everything, everyone looks again."""
    waiting = Waiting()
    with waiting.claim("a") as claim, waiting.cancel(ONE) as ear:
        waiting.hear(_notice(overflow=True))

        assert await _woken(claim, ear) == [True, True]


async def test_the_scheduler_hears_what_concerns_it() -> None:
    """Changed jobs always; ends of executions while some are held that may wait for them."""
    waiting = Waiting()
    for notice, is_holding, expected in (
        (_notice(pending=[None]), True, False),
        (_notice(jobs=True), False, True),
        (_notice(ended=[ONE]), False, False),
        (_notice(ended=[ONE]), True, True),
        (_notice(overflow=True), False, True),
    ):
        waiting.is_holding = is_holding
        waiting.schedule.clear()
        waiting.hear(notice)

        assert waiting.schedule.is_set() is expected


async def test_a_stop_ends_every_wait() -> None:
    """When the server goes down nobody waits any longer, and a new wait ends before it begins."""
    waiting = Waiting()
    with waiting.claim("a") as claim, waiting.cancel(ONE) as ear:
        waits = [asyncio.create_task(place.news(30)) for place in (claim, ear)]
        await asyncio.sleep(0)
        waiting.stop()

        assert await asyncio.wait_for(asyncio.gather(*waits), 5) == [False, False]
        assert not await claim.news(30)


async def test_nothing_is_kept_of_those_who_left() -> None:
    """The queues are empty when the last one has gone."""
    waiting = Waiting()
    with waiting.claim("a"), waiting.cancel(ONE):
        pass

    assert (waiting.claims, dict(waiting._cancels)) == (0, {})
