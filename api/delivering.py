"""Deliveries: sends what is to be told, and notes what came of it.

Each webhook is sent one message at a time by a server, in a thread, since the standard library's
client waits. A server that dies while it sends leaves the message due again: it is delivered at
least once, under the same event id.
"""

import asyncio
import contextlib
import threading
from collections.abc import Coroutine
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec
from msgspec import Struct

from api import rendering, wire
from api.background import repeat
from api.ledger import Ledger
from api.notifying import Overdue, Subject
from api.settings import networks
from api.webhook_call import Network, Result, post, signature
from domain import ids
from store import deliveries
from store.deliveries import Sending

EVENT: Final = "evt"
DELIVERY: Final = "dlv"
_PLACES: Final = 16
_PLACES_OF_FAILING: Final = 8
_FORGET_SECONDS: Final = 600.0
_STOP_SECONDS: Final = 2.0
_subjects: Final = msgspec.json.Decoder(Subject)


class MessageJob(Struct):
    """The job that a message is about."""

    id: str
    name: str | None


class Message(Struct):
    """What is sent: what happened, to which job, in which execution (without its output)."""

    id: str
    event: str
    created_at: str
    job: MessageJob | None
    execution: dict[str, Any] | None
    previous_status: str | None
    missed: Overdue | None


class Deliverer:
    """Sends what is due. Any number of servers may do so."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._allowed: list[Network] = networks(ledger.settings)
        self._busy: dict[UUID, asyncio.Task[None]] = {}
        self._failing: set[UUID] = set()
        self._free = asyncio.Event()
        self.delivered = 0
        self.failed = 0

    def tasks(self) -> list[Coroutine[Any, Any, None]]:
        """Return what is to run as long as the server does."""
        return [
            repeat("deliveries", self.deliver, 0.02),
            repeat("old deliveries", lambda: deliveries.forget(self._ledger.pool), _FORGET_SECONDS),
        ]

    async def deliver(self) -> None:
        """Begin to send what is due, as far as there are places; then wait for the next look."""
        if await deliveries.any_pending(self._ledger.pool):
            await self._take()
        try:
            async with asyncio.timeout(0.25):
                await self._free.wait()
        except TimeoutError:
            return
        self._free.clear()

    async def _take(self) -> None:
        for failing, places in ((False, _PLACES), (True, _PLACES_OF_FAILING)):
            taken = len(self._failing) if failing else len(self._busy)
            free = min(places - taken, _PLACES - len(self._busy))
            if free <= 0:
                continue
            ledger, busy = self._ledger, list(self._busy)
            due = await deliveries.take(ledger.pool, ledger.keys, busy, free, failing=failing)
            for sending in due:
                self._begin(sending, failing=failing)

    async def stop(self) -> None:
        """Give what is under way a moment to end; what does not is sent again later."""
        if self._busy:
            await asyncio.wait(self._busy.values(), timeout=_STOP_SECONDS)
        for task in self._busy.values():
            task.cancel()

    def _begin(self, sending: Sending, *, failing: bool) -> None:
        webhook_id = sending.webhook_id
        if failing:
            self._failing.add(webhook_id)
        task = asyncio.create_task(self._send(sending))
        self._busy[webhook_id] = task

        def end(ended: asyncio.Task[None]) -> None:
            self._busy.pop(webhook_id, None)
            self._failing.discard(webhook_id)
            self._free.set()
            if not ended.cancelled():
                ended.exception()  # the message is due again in a minute

        task.add_done_callback(end)

    async def _send(self, sending: Sending) -> None:
        at = wire.now()
        body = msgspec.json.encode(await self._message(sending))
        seconds = int(at.timestamp())
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "Cronledger",
            "Cronledger-Event": sending.event,
            "Cronledger-Event-Id": ids.to_text(EVENT, sending.event_id),
            "Cronledger-Delivery": ids.to_text(DELIVERY, sending.id),
            "Cronledger-Attempt": str(sending.attempt),
            "Cronledger-Signature": signature(sending.secret, seconds, body),
        }
        result = await _in_thread(sending.url, body, headers, self._allowed)
        # At this point the target may have it; it is noted, or sent again.
        await self._report(sending, at, result)

    async def _report(self, sending: Sending, at: datetime, result: Result) -> None:
        await deliveries.report(
            self._ledger.pool,
            sending,
            at=at,
            duration_ms=result.duration_ms,
            status_code=result.status_code,
            error=result.error,
            answer=result.answer,
            is_delivered=result.is_delivered,
        )
        self.delivered += result.is_delivered
        self.failed += not result.is_delivered

    async def _message(self, sending: Sending) -> Message:
        subject = _subjects.decode(sending.subject)
        shown, name = None, subject.job_name
        if subject.execution_id is not None:
            view = await self._ledger.views.one(subject.execution_id)
            if view is not None:
                shown = msgspec.structs.asdict(rendering.execution(view, wire.now()))
                name = shown["job_name"]
                for output in ("output", "error", "output_bytes", "output_truncated"):
                    del shown[output]
        return Message(
            id=ids.to_text(EVENT, sending.event_id),
            event=sending.event,
            created_at=wire.timestamp(sending.created_at),
            job=None if subject.job_id is None else MessageJob(subject.job_id, name),
            execution=shown,
            previous_status=subject.previous_status,
            missed=subject.missed,
        )


async def _in_thread(*request: Any) -> Result:
    """Return what `post` returns; a thread that is still at it does not hold up our end."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Result] = loop.create_future()

    def tell(result: Result) -> None:
        if not future.done():
            future.set_result(result)

    def work() -> None:
        try:
            result = post(*request)
        except Exception as error:  # noqa: BLE001 - a bug must not leave the message waiting
            result = Result(0, error=f"{type(error).__name__} in the server")
        with contextlib.suppress(RuntimeError):  # the server has gone meanwhile
            loop.call_soon_threadsafe(tell, result)

    threading.Thread(target=work, name="webhook", daemon=True).start()
    return await future
