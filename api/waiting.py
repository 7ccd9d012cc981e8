"""Who waits for what: agents for work, heartbeats for a cancel, followers for output or events."""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Final, Self, TypeAlias
from uuid import UUID

from domain.commands import Create
from store.work import Done, Notice, Work

Ears: TypeAlias = defaultdict[UUID, set[asyncio.Event]]
News: TypeAlias = tuple[str | None, tuple[str, ...]]

_LOG: Final = UUID(int=0)


class Waiting:
    """Wakes those who wait when a commit, here or on another server, has news for them."""

    def __init__(self) -> None:
        # In the order in which they came.
        self._claims: dict[ClaimWait, None] = {}
        self._cancels: Ears = defaultdict(set)
        self._outputs: Ears = defaultdict(set)
        self._commits: Ears = defaultdict(set)
        self.stopping = False
        # Set when the scheduler should look: a job was changed, or what others wait for has ended.
        self.schedule = asyncio.Event()
        self.is_holding = False

    @property
    def claims(self) -> int:
        """How many claims wait for work."""
        return len(self._claims)

    def stop(self) -> None:
        """End every wait, now and from now on: the server goes down."""
        self.stopping = True
        self.wake_everyone()

    def wake_everyone(self) -> None:
        """Let everyone look again, as after a gap in the news."""
        self.schedule.set()
        for place in self._claims:
            place.event.set()
        for ears in (self._cancels, self._outputs, self._commits):
            for events in ears.values():
                for event in events:
                    event.set()

    def hear(self, notice: Notice) -> None:
        """Wake one claim for each new pending execution, and who waits for a cancel or an end."""
        if notice.overflow:
            self.wake_everyone()
            return
        if notice.jobs or (self.is_holding and notice.ended):
            self.schedule.set()
        for pin in notice.pending:
            self.wake_claim(pin)
        for pin, labels in notice.labelled:
            self.wake_claim(pin, labels)
        for execution_id in (*notice.cancel_requested, *notice.ended):
            for event in self._cancels.get(execution_id, ()):
                event.set()
        for execution_id in notice.ended:
            self.hear_output(execution_id)
        for event in self._commits.get(_LOG, ()):
            event.set()

    def hear_output(self, execution_id: UUID) -> None:
        """Wake who follows an execution: this server has just stored output of it."""
        for event in self._outputs.get(execution_id, ()):
            event.set()

    def wake_claim(self, pin: str | None, labels: Iterable[str] = ()) -> None:
        """Tell one claim that may run it of a pending execution; who waits longest goes first."""
        for place in self._claims:
            if not place.event.is_set() and place.may_run(pin, labels):
                place.hear(pin, tuple(labels))
                return

    def joining(self, works: Sequence[Work]) -> list[tuple[Work, asyncio.Future[Done]]]:
        """Return the claims that wait for what `works` create, to be judged in the same batch.

        So an execution is claimed in the very commit that records it. Who waits longest goes
        first; what nobody here waits for is news for everyone, as after any commit.
        """
        return [
            place.join()
            for work in works
            if isinstance(work.command, Create) and work.command.claim_agent_id is None
            if (place := self._next(work.command.pinned_agent_id, work.command.labels)) is not None
        ]

    def _next(self, pin: str | None, labels: Iterable[str]) -> "ClaimWait | None":
        return next((one for one in self._claims if one.waits and one.may_run(pin, labels)), None)

    def claim(self, agent_id: str, labels: frozenset[str] = frozenset()) -> "ClaimWait":
        """Return a place in the queue of those who wait for work."""
        return ClaimWait(self, agent_id, labels)

    def cancel(self, execution_id: UUID) -> "ExecutionWait":
        """Return a place among those who wait for a cancel of one execution, or its end."""
        return ExecutionWait(self, self._cancels, execution_id)

    def output(self, execution_id: UUID) -> "ExecutionWait":
        """Return a place among those who wait for output of one execution, or its end."""
        return ExecutionWait(self, self._outputs, execution_id)

    def commits(self) -> "ExecutionWait":
        """Return a place among those who wait for anything that is recorded."""
        return ExecutionWait(self, self._commits, _LOG)

    def bell(self) -> asyncio.Event:
        """Return what is set whenever anybody, here or elsewhere, has recorded anything."""
        event = asyncio.Event()
        self._commits[_LOG].add(event)
        return event

    def enter_claim(self, place: "ClaimWait") -> None:
        """Take a place in the queue for work."""
        self._claims[place] = None

    def leave_claim(self, place: "ClaimWait") -> None:
        """Give up a place."""
        del self._claims[place]


class ClaimWait:
    """A claim's place in the queue; entered before the first look, so that no news is missed.

    Each piece of news is of one execution, by its pin and labels. What this claim was told of and
    did not take is for the next who may run it: else it would lie there until somebody looks.
    """

    def __init__(self, waiting: Waiting, agent_id: str, labels: frozenset[str]) -> None:
        self._waiting = waiting
        self._agent_id = agent_id
        self._labels = labels
        self._told: list[News] = []  # and not looked for yet
        self._looked_for: list[News] = []
        self._again: Callable[[], Work] | None = None
        self._joined: asyncio.Future[Done] | None = None
        self.event = asyncio.Event()

    def __enter__(self) -> Self:
        self._waiting.enter_claim(self)
        return self

    def __exit__(self, *_: object) -> None:
        self._waiting.leave_claim(self)
        for pin, labels in (*self._looked_for, *self._told):
            self._waiting.wake_claim(pin, labels)

    def may_run(self, pin: str | None, labels: Iterable[str]) -> bool:
        """Tell whether this agent may run an execution with this pin and these labels."""
        return pin in (None, self._agent_id) and self._labels.issuperset(labels)

    def hear(self, pin: str | None, labels: tuple[str, ...]) -> None:
        """Take news of an execution that this agent may run."""
        self._told.append((pin, labels))
        self.event.set()

    def took(self, pin: str | None, labels: tuple[str, ...]) -> None:
        """Use up the news of the execution that was taken, if there was any."""
        for news in (self._looked_for, self._told):
            if (pin, labels) in news:
                news.remove((pin, labels))
                return

    @property
    def waits(self) -> bool:
        """Whether it has looked, found nothing, and heard nothing since."""
        return self._again is not None and self._joined is None and not self.event.is_set()

    def join(self) -> tuple[Work, asyncio.Future[Done]]:
        """Return the claim once more, for a batch of which it is to be part, and its verdict."""
        if self._again is None:
            raise RuntimeError("this claim does not wait")
        self._joined = asyncio.get_running_loop().create_future()
        self._joined.add_done_callback(self._judged)
        return self._again(), self._joined

    def _judged(self, verdict: "asyncio.Future[Done]") -> None:
        if verdict.cancelled() or verdict.exception() is not None or _granted(verdict.result()):
            self.event.set()
        else:
            self._joined = None  # somebody else got it, and the wait goes on

    async def news(self, seconds: float, again: Callable[[], Work]) -> bool:
        """Wait for news, at most so long; False if there was none or the server goes down.

        Call it after a look that found nothing: what that look was for, others have taken.
        Meanwhile the claim that `again` makes may join a batch. Then see `taken`.
        """
        self._looked_for = []
        self._again = again
        try:
            if await _heard(self._waiting, self.event, seconds):
                self.event.clear()
                self._looked_for, self._told = self._told, []
                return True
            return False
        finally:
            self._again = None

    async def taken(self) -> Done | None:
        """Return what the claim got in a batch that it joined, None if it got nothing.

        It may be under way when the wait ends: what it gets must not be lost.
        """
        joined, self._joined = self._joined, None
        if joined is None:
            return None
        done = await joined
        return done if _granted(done) else None


def _granted(done: Done) -> bool:
    return done.execution is not None or done.replayed is not None


class ExecutionWait:
    """An ear for news of one execution, entered before the first look."""

    def __init__(self, waiting: Waiting, ears: Ears, execution_id: UUID) -> None:
        self._waiting = waiting
        self._ears = ears
        self._execution_id = execution_id
        self._event = asyncio.Event()

    def __enter__(self) -> Self:
        self._ears[self._execution_id].add(self._event)
        return self

    def __exit__(self, *_: object) -> None:
        self._ears[self._execution_id].discard(self._event)
        if not self._ears[self._execution_id]:
            del self._ears[self._execution_id]

    async def news(self, seconds: float) -> bool:
        """Wait for news, at most so long; False if there was none or the server goes down."""
        if await _heard(self._waiting, self._event, seconds):
            self._event.clear()
            return True
        return False


async def _heard(waiting: Waiting, event: asyncio.Event, seconds: float) -> bool:
    if waiting.stopping or seconds <= 0:
        return False
    try:
        # Not wait_for: before Python 3.12 it forgets a cancel that comes together with the event.
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return not waiting.stopping


async def heard(bell: asyncio.Event) -> None:
    """Wait until somebody has recorded anything, a second at most: news can be lost."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(1):
            await bell.wait()
    bell.clear()
