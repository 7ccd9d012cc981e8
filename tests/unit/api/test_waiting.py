"""Who waits is woken by news for them, and no news is lost on the way."""

import asyncio
import contextlib
from datetime import UTC, datetime
from uuid import UUID

import pytest

from api.waiting import ClaimWait, ExecutionWait, Waiting
from domain import commands
from domain.events import BodyDigest
from store.appender import Unavailable
from store.work import Answer, ClaimNext, Done, Notice, Work

pytestmark = pytest.mark.anyio
ONE, OTHER = UUID(int=1), UUID(int=2)
NOW = datetime(2026, 1, 31, tzinfo=UTC)


def _notice(**news: object) -> Notice:
    return Notice(sender="me", position=1, **news)  # type: ignore[arg-type]


def _gpu() -> Notice:
    return _notice(labelled=[(None, ("gpu",))])


def _again() -> Work:
    return Work(ClaimNext(NOW, "token:t", OTHER, "a"))


def _creating(pin: str | None = None, claimed_by: str | None = None) -> Work:
    command = commands.Create(
        at=NOW,
        by="token:t",
        command_id=ONE,
        execution_id=ONE,
        job_id="job",
        configuration=BodyDigest(0, ""),
        triggered_by="manual",
        timeout_seconds=300,
        pinned_agent_id=pin,
        claim_agent_id=claimed_by,
    )
    return Work(command, fresh=True)


async def _begin_to_wait(place: ClaimWait, seconds: float = 30) -> "asyncio.Task[bool]":
    wait = asyncio.create_task(place.news(seconds, _again))
    await asyncio.sleep(0)
    return wait


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
                assert await leaving.news(30, _again)
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
            assert await leaving.news(30, _again)
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
            assert await leaving.news(30, _again)
            # nothing was found; then comes
            waiting.hear(_gpu())
            assert await leaving.news(30, _again)
            leaving.took(None, ("gpu",))
            stack.close()

            assert await _woken(second) == [False]


async def test_a_claim_that_leaves_without_news_wakes_nobody() -> None:
    """Timing out is no news."""
    waiting = Waiting()
    with waiting.claim("a") as second:
        with waiting.claim("b") as leaving:
            assert not await leaving.news(0.001, _again)

        assert await _woken(second) == [False]
    assert waiting.claims == 0


async def test_news_before_the_wait_is_not_missed() -> None:
    """What comes between the first look and the wait is heard at once; once heard it is over."""
    waiting = Waiting()
    with waiting.claim("a") as place:
        waiting.hear(_notice(pending=[None]))

        assert await place.news(30, _again)
        assert not await place.news(0.001, _again)


async def test_news_during_the_wait_ends_it() -> None:
    """A waiting claim is woken by what is heard meanwhile."""
    waiting = Waiting()
    with waiting.claim("a") as place:
        waiter = asyncio.create_task(place.news(30, _again))
        await asyncio.sleep(0)
        waiting.hear(_notice(pending=["a"]))

        assert await asyncio.wait_for(waiter, 5)


async def test_a_claim_that_waits_joins_the_batch_that_creates() -> None:
    """The longest wait is judged with the create, and ended by what it got."""
    waiting = Waiting()
    with waiting.claim("b") as first, waiting.claim("b") as second:
        waits = [await _begin_to_wait(place) for place in (first, second)]
        ((work, verdict),) = waiting.joining([_creating(pin="a"), _creating(pin="b")])
        assert isinstance(work.command, ClaimNext)
        verdict.set_result(got := Done(None, replayed=Answer(ONE, 200)))

        assert await asyncio.wait_for(waits[0], 5)
        assert [await first.taken(), await first.taken()] == [got, None]
        assert await _woken(second) == [False]
        waiting.stop()
        await waits[1]


async def test_only_who_waits_joins_and_only_for_what_waits() -> None:
    """Not a claim that has news or joins already, and not for what its maker runs."""
    waiting = Waiting()
    with waiting.claim("a") as told, waiting.claim("a") as joined, waiting.claim("a"):
        waits = [await _begin_to_wait(place) for place in (told, joined)]
        told.event.set()  # it is about to look; the third has not looked yet
        assert waiting.joining([_creating(claimed_by="a")]) == []
        assert len(waiting.joining([_creating(), _creating()])) == 1
        waiting.stop()
        await asyncio.gather(*waits)


async def test_a_claim_that_joined_in_vain_waits_on() -> None:
    """Somebody else got it: the same wait goes on, and may join again."""
    waiting = Waiting()
    with waiting.claim("a") as place:
        wait = await _begin_to_wait(place)
        for _ in range(2):
            ((_, verdict),) = waiting.joining([_creating()])
            verdict.set_result(Done(None))
            await asyncio.sleep(0)
        assert not wait.done()
        assert await place.taken() is None
        waiting.hear(_notice(pending=[None]))
        assert await asyncio.wait_for(wait, 5)


async def test_what_a_claim_gets_at_the_end_of_its_wait_is_not_lost() -> None:
    """The time is over while its batch is under way: it stays for the verdict."""
    waiting = Waiting()
    with waiting.claim("a") as place:
        wait = await _begin_to_wait(place, 0.01)
        ((_, verdict),) = waiting.joining([_creating()])
        assert not await wait
        taken = asyncio.create_task(place.taken())
        await asyncio.sleep(0)
        verdict.set_result(got := Done(None, replayed=Answer(ONE, 200)))
        assert await taken == got


async def test_a_batch_that_fails_fails_the_claims_that_joined() -> None:
    """They are told, as if they had asked just then."""
    waiting = Waiting()
    with waiting.claim("a") as place:
        wait = await _begin_to_wait(place)
        ((_, verdict),) = waiting.joining([_creating()])
        verdict.set_exception(Unavailable())
        assert await wait
        with pytest.raises(Unavailable):
            await place.taken()


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
        waits = [
            asyncio.create_task(claim.news(30, _again)),
            asyncio.create_task(ear.news(30)),
        ]
        await asyncio.sleep(0)
        waiting.stop()

        assert await asyncio.wait_for(asyncio.gather(*waits), 5) == [False, False]
        assert not await claim.news(30, _again)


async def test_nothing_is_kept_of_those_who_left() -> None:
    """The queues are empty when the last one has gone."""
    waiting = Waiting()
    with waiting.claim("a"), waiting.cancel(ONE):
        pass

    assert (waiting.claims, dict(waiting._cancels)) == (0, {})
