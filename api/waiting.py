"""Who waits for what: agents for work, heartbeats for a cancel, followers for output."""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Iterable
from typing import Self, TypeAlias
from uuid import UUID

from store.work import Notice

Ears: TypeAlias = defaultdict[UUID, set[asyncio.Event]]
News: TypeAlias = tuple[str | None, tuple[str, ...]]


class Waiting:
    """Wakes those who wait when a commit, here or on another server, has news for them."""

    def __init__(self) -> None:
        # In the order in which they came.
        self._claims: dict[ClaimWait, None] = {}
        self._cancels: Ears = defaultdict(set)
        self._outputs: Ears = defaultdict(set)
        self._commits: set[asyncio.Event] = set()
        self.stopping = False

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
        for event in self._commits:
            event.set()
        for place in self._claims:
            place.event.set()
        for ears in (self._cancels, self._outputs):
            for events in ears.values():
                for event in events:
                    event.set()

    def hear(self, notice: Notice) -> None:
        """Wake one claim for each new pending execution, and who waits for a cancel or an end."""
        for event in self._commits:
            event.set()
        if notice.overflow:
            self.wake_everyone()
            return
        for pin in notice.pending:
            self.wake_claim(pin)
        for pin, labels in notice.labelled:
            self.wake_claim(pin, labels)
        for execution_id in (*notice.cancel_requested, *notice.ended):
            for event in self._cancels.get(execution_id, ()):
                event.set()
        for execution_id in notice.ended:
            self.hear_output(execution_id)

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

    def claim(self, agent_id: str, labels: frozenset[str] = frozenset()) -> "ClaimWait":
        """Return a place in the queue of those who wait for work."""
        return ClaimWait(self, agent_id, labels)

    def cancel(self, execution_id: UUID) -> "ExecutionWait":
        """Return a place among those who wait for a cancel of one execution, or its end."""
        return ExecutionWait(self, self._cancels, execution_id)

    def output(self, execution_id: UUID) -> "ExecutionWait":
        """Return a place among those who wait for output of one execution, or its end."""
        return ExecutionWait(self, self._outputs, execution_id)

    def commits(self) -> asyncio.Event:
        """Return what is set whenever anybody, here or elsewhere, has recorded anything."""
        event = asyncio.Event()
        self._commits.add(event)
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

    async def news(self, seconds: float) -> bool:
        """Wait for news, at most so long; False if there was none or the server goes down.

        Call it after a look that found nothing: what that look was for, others have taken.
        """
        self._looked_for = []
        if await _heard(self._waiting, self.event, seconds):
            self.event.clear()
            self._looked_for, self._told = self._told, []
            return True
        return False


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
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return False
    return not waiting.stopping


async def heard(commits: asyncio.Event) -> None:
    """Wait until somebody has recorded anything, a second at most: news can be lost."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(commits.wait(), 1)
    commits.clear()
