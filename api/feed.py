"""The ledger as it grows: those who follow it share one read of each commit.

A follower only knows up to which position it was served. What comes next it takes from the newest
events, which one task reads once for all of them; whoever is further behind reads pages of the
table until it has caught up. So a slow follower holds up nobody, and keeps no more than a page.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from itertools import islice
from typing import Any, Final
from uuid import UUID

import psycopg
from msgspec import Struct
from psycopg_pool import AsyncConnectionPool

from api import answers, recorded
from api.follow import check_room
from api.waiting import Waiting
from api.wire_audit import FollowedPosition
from projections import feed
from projections.feed import FeedEntry, FeedFilter

_RECENT_MAX: Final = 2000
_PAGE: Final = 200
# Commits are told; this is for those whose news was lost with a connection.
_LOOK_SECONDS: Final = 2.0
# A ledger that is written without pause costs no more than 20 reads a second.
_PAUSE_SECONDS: Final = 0.05
_AWAY_SECONDS: Final = 0.5
_SILENCE_SECONDS: Final = 15.0
_CHECK_SECONDS: Final = 2.0
# So much of the log without a match, and a follower is told where it stands.
_TELL_POSITIONS: Final = 1000
# Those who catch up leave connections for everyone else.
_CATCHING_UP_MAX: Final = 2
_PASSING: Final = (psycopg.Error, OSError)


class Seen(Struct, frozen=True):
    """One event as it is sent, and what filters ask of it."""

    position: int
    type: str
    stream_id: UUID
    job_id: str | None
    json: bytes


class Batch(Struct, frozen=True):
    """The next events that match, and up to which position was looked for them."""

    events: list[Seen]
    upto: int


def seen(entry: FeedEntry) -> Seen:
    """Return an event in the form in which it leaves."""
    sent = answers.encoded(recorded.ledger_event(entry))
    return Seen(entry.position, entry.type, entry.stream_id, entry.job_id, sent)


class Tail:
    """The newest events of the ledger, while anybody follows."""

    def __init__(self, pool: AsyncConnectionPool[Any], waiting: Waiting) -> None:
        self._pool = pool
        self._waiting = waiting
        # Every event after `_floor`, up to the last that was read; None before the first look.
        self._floor: int | None = None
        self._recent: list[Seen] = []
        self._watch: asyncio.Task[None] | None = None
        self._catching_up = asyncio.Semaphore(_CATCHING_UP_MAX)
        # Done, and replaced by another, each time that there is something new.
        self._change: asyncio.Future[None] | None = None
        self.count = 0
        self.reads = 0

    @property
    def change(self) -> asyncio.Future[None]:
        """Done when there is more than there was when this was asked for."""
        if self._change is None:
            self._change = asyncio.get_running_loop().create_future()
        return self._change

    @property
    def is_broken_off(self) -> bool:
        """Whether the server goes down, or nobody looks any more."""
        return self._waiting.stopping or self._watch is None or self._watch.done()

    def check_room(self) -> None:
        """Raise `Problem` 503 if there is no room for one more follower."""
        check_room(self.count)

    @contextlib.contextmanager
    def joined(self) -> Iterator[None]:
        """Be a follower while the block runs."""
        self.count += 1
        if self._watch is None:
            self._watch = asyncio.create_task(self._look_on())
        try:
            yield
        finally:
            self.count -= 1
            if self.count == 0 and self._watch is not None:
                self._watch.cancel()
                self._watch, self._floor, self._recent = None, None, []

    async def batch(self, chosen: FeedFilter, after: int, limit: int) -> Batch:
        """Return the next events after a position: from memory, else a page of the table."""
        if self._floor is not None and after >= self._floor:
            return self._remembered(chosen, after, limit)
        async with self._catching_up:
            page = await feed.page(self._pool, chosen, after=after, limit=limit)
        self.reads += 1
        return Batch([seen(entry) for entry in page.entries], page.upto)

    def _remembered(self, chosen: FeedFilter, after: int, limit: int) -> Batch:
        found: list[Seen] = []
        upto = after
        for event in islice(self._recent, after - (self._floor or 0), None):
            upto = event.position
            if chosen.takes(event.type, event.job_id, event.stream_id):
                found.append(event)
                if len(found) == limit:
                    break
        return Batch(found, upto)

    async def _look_on(self) -> None:
        """Look at each piece of news, and now and then without any."""
        try:
            with self._waiting.commits() as ear:
                while not self._waiting.stopping:
                    # While the database is away there is no news; followers need not notice.
                    with contextlib.suppress(*_PASSING):
                        await self._look()
                    await asyncio.sleep(_PAUSE_SECONDS)
                    await ear.news(_LOOK_SECONDS)
        finally:
            self._tell()

    async def _look(self) -> None:
        if self._floor is None:
            self._floor = await feed.head(self._pool)
            self._tell()
            return
        more = True
        while more:
            last = self._floor + len(self._recent)
            page = await feed.page(self._pool, feed.EVERYTHING, after=last, limit=_PAGE)
            if page.entries:
                self.reads += 1
                self._keep([seen(entry) for entry in page.entries])
                self._tell()
            more = bool(page.entries) and page.upto < page.head

    def _keep(self, news: list[Seen]) -> None:
        self._recent += news
        surplus = len(self._recent) - _RECENT_MAX
        if surplus > 0 and self._floor is not None:
            # More than has to go, so that not every commit moves the whole list.
            gone = surplus + _RECENT_MAX // 2
            del self._recent[:gone]
            self._floor += gone

    def _tell(self) -> None:
        told, self._change = self._change, None
        if told is not None and not told.done():
            told.set_result(None)


class Follower:
    """One reader of the ledger, and how far it has been served.

    Args:
        tail: that of this server.
        chosen: which events it wants.
        after: the position after which it begins or goes on.
        may_go_on: asked every other second; a revoked token ends it.
    """

    def __init__(
        self,
        tail: Tail,
        chosen: FeedFilter,
        after: int,
        may_go_on: Callable[[], Awaitable[bool]],
    ) -> None:
        self._tail = tail
        self._chosen = chosen
        self._after = self._told = after
        self._may_go_on = may_go_on
        self._said = 0.0

    async def parts(self) -> AsyncGenerator[bytes, None]:
        """Yield events as they come, until the reader or the server goes."""
        tail = self._tail
        with tail.joined():
            yield b"retry: 1000\n\n"
            checked = self._said = time.monotonic()
            while not tail.is_broken_off:
                # Taken before looking: what comes while we look is not missed.
                change, before = tail.change, self._after
                try:
                    batch = await tail.batch(self._chosen, before, _PAGE)
                except _PASSING:
                    # The database is away for now; the reader need not notice.
                    await asyncio.sleep(_AWAY_SECONDS)
                    continue
                self._after = batch.upto
                if part := self._part(batch.events):
                    self._said = time.monotonic()
                    yield part
                if time.monotonic() - checked >= _CHECK_SECONDS:
                    checked = time.monotonic()
                    if not await self._may_go_on():
                        yield b": this access token is no longer good\n\n"
                        return
                if batch.upto == before:
                    await asyncio.wait({change}, timeout=_CHECK_SECONDS)
            yield b": broken off; go on with Last-Event-ID\n\n"

    def _part(self, events: list[Seen]) -> bytes:
        """Return what is to be said now: events, else where we stand, else that we are here."""
        if events:
            self._told = events[-1].position
        part = b"".join(
            b"id: %d\nevent: recorded\ndata: %b\n\n" % (e.position, e.json) for e in events
        )
        silent = time.monotonic() - self._said >= _SILENCE_SECONDS
        if self._after - self._told >= _TELL_POSITIONS or (silent and self._after > self._told):
            self._told = self._after
            said = answers.encoded(FollowedPosition(self._after))
            return part + b"id: %d\nevent: position\ndata: %b\n\n" % (self._after, said)
        return part or (b": keep-alive\n\n" if silent else b"")
