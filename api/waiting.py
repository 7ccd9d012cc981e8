"""Who waits for what: agents for work, heartbeats for a cancel, followers for output."""

import asyncio
from collections import OrderedDict, defaultdict
from typing import Self, TypeAlias
from uuid import UUID

from store.work import Notice

Ears: TypeAlias = defaultdict[UUID, set[asyncio.Event]]


class Waiting:
    """Wakes those who wait when a commit, here or on another server, has news for them."""

    def __init__(self) -> None:
        self._claims: OrderedDict[int, tuple[str, asyncio.Event]] = OrderedDict()
        self._cancels: Ears = defaultdict(set)
        self._outputs: Ears = defaultdict(set)
        self._next = 0
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
        for _, event in self._claims.values():
            event.set()
        for ears in (self._cancels, self._outputs):
            for events in ears.values():
                for event in events:
                    event.set()

    def hear(self, notice: Notice) -> None:
        """Wake one claim for each new pending execution, and who waits for a cancel or an end."""
        if notice.overflow:
            self.wake_everyone()
            return
        for pin in notice.pending:
            self._wake_claim(pin)
        for execution_id in (*notice.cancel_requested, *notice.ended):
            for event in self._cancels.get(execution_id, ()):
                event.set()
        for execution_id in notice.ended:
            self.hear_output(execution_id)

    def hear_output(self, execution_id: UUID) -> None:
        """Wake who follows an execution: this server has just stored output of it."""
        for event in self._outputs.get(execution_id, ()):
            event.set()

    def _wake_claim(self, pin: str | None) -> None:
        # The one that waits longest goes first.
        for agent_id, event in self._claims.values():
            if not event.is_set() and pin in (None, agent_id):
                event.set()
                return

    def claim(self, agent_id: str) -> "ClaimWait":
        """Return a place in the queue of those who wait for work."""
        self._next += 1
        return ClaimWait(self, self._next, agent_id)

    def cancel(self, execution_id: UUID) -> "ExecutionWait":
        """Return a place among those who wait for a cancel of one execution, or its end."""
        return ExecutionWait(self, self._cancels, execution_id)

    def output(self, execution_id: UUID) -> "ExecutionWait":
        """Return a place among those who wait for output of one execution, or its end."""
        return ExecutionWait(self, self._outputs, execution_id)

    def enter_claim(self, number: int, agent_id: str, event: asyncio.Event) -> None:
        """Take a place in the queue for work."""
        self._claims[number] = (agent_id, event)

    def leave_claim(self, number: int, *, handed_on: bool) -> None:
        """Give up a place; news that was not used goes to the next."""
        agent_id, _ = self._claims.pop(number)
        if handed_on:
            self._wake_claim(None)
            self._wake_claim(agent_id)


class ClaimWait:
    """A claim's place in the queue; entered before the first look, so that no news is missed."""

    def __init__(self, waiting: Waiting, number: int, agent_id: str) -> None:
        self._waiting = waiting
        self._number = number
        self._agent_id = agent_id
        self._event = asyncio.Event()

    def __enter__(self) -> Self:
        self._waiting.enter_claim(self._number, self._agent_id, self._event)
        return self

    def __exit__(self, *_: object) -> None:
        # A wake-up that came while leaving (the client went away) must not be lost with it.
        self._waiting.leave_claim(self._number, handed_on=self._event.is_set())

    def hand_on(self) -> None:
        """Leave what news there was to the next in the queue."""
        self._event.set()

    async def news(self, seconds: float) -> bool:
        """Wait for news, at most so long; False if there was none or the server goes down."""
        if await _heard(self._waiting, self._event, seconds):
            self._event.clear()
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
