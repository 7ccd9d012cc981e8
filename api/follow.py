"""Live output as server-sent events: followers of one execution share one look at it.

A follower only knows where it stands. What it sends next comes from its feed, which all followers
of that execution share: one task looks how far the execution has come, and a piece of output that
several want is read once. So a slow follower holds up nobody, and keeps no more than one piece.
"""

import asyncio
import contextlib
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping
from typing import Any, Final
from uuid import UUID

import psycopg
from msgspec import Struct, field
from psycopg_pool import AsyncConnectionPool

from api import answers
from api.problems import Problem
from api.waiting import Waiting
from projections.queries import View
from projections.views import Views
from store import output
from store.output import StoredStream

FOLLOWERS_MAX: Final = 1000
PIECE_BYTES: Final = 64 * 1024
_PIECES_KEPT: Final = 4
# What another server stores is not told to this one: it is looked for so often.
_LOOK_SECONDS: Final = 0.5
# A command that writes without pause costs no more than 20 looks a second.
_PAUSE_SECONDS: Final = 0.05
_SILENCE_SECONDS: Final = 15.0
_CHECK_SECONDS: Final = 2.0
_PASSING: Final = (psycopg.Error, OSError)


class FollowedOutput(Struct):
    """Bytes of one stream as the command wrote them; `offset` is where they stand in it."""

    stream: str
    offset: int
    base64: bytes


class FollowedOmission(Struct):
    """The bytes of one stream that were not kept: [from, to)."""

    stream: str
    from_: int = field(name="from")
    to: int


class FollowedEnd(Struct):
    """How the execution ended, after all of its output."""

    status: str
    exit_code: int | None


class Progress(Struct, frozen=True):
    """How far an execution has come: its status, and what there is of each stream."""

    status: str
    exit_code: int | None
    is_final: bool
    streams: dict[str, StoredStream]


def progress_of(view: View) -> Progress:
    """Return how far an execution has come; the output of a final one ends where it says so."""
    row, texts = view.row, view.texts
    streams = {
        "stdout": texts.stdout.sealed(row.stdout_kept_bytes),
        "stderr": texts.stderr.sealed(row.stderr_kept_bytes),
    }
    return Progress(row.status, row.exit_code, row.completed_at is not None, streams)


def check_room(count: int) -> None:
    """Raise `Problem` 503 if one more would be more than this server follows."""
    if count >= FOLLOWERS_MAX:
        raise Problem(
            503,
            "unavailable",
            f"This server has {FOLLOWERS_MAX} followers already. Try again in a moment.",
            headers={"Retry-After": "10"},
        )


class Feed:
    """One execution that is followed: how far it has come, and the pieces that were read last."""

    def __init__(
        self, view: View, pool: AsyncConnectionPool[Any], views: Views, waiting: Waiting
    ) -> None:
        self.followers = 0
        self.reads = 0
        self.progress = progress_of(view)
        self._execution_id = view.row.id
        self._pool = pool
        self._views = views
        self._waiting = waiting
        self._loop = asyncio.get_running_loop()
        # Done, and replaced by another, each time that there is something new.
        self.change: asyncio.Future[None] = self._loop.create_future()
        self._pieces: OrderedDict[tuple[str, int], asyncio.Task[bytes]] = OrderedDict()
        self._watch: asyncio.Task[None] | None = None
        if not self.progress.is_final:
            self._watch = asyncio.create_task(self._look_on())

    @property
    def is_broken_off(self) -> bool:
        """Whether the server goes down, or nobody looks any more though the end has not come."""
        if self._waiting.stopping:
            return True
        return not self.progress.is_final and self._watch is not None and self._watch.done()

    async def piece(self, stream: str, offset: int) -> bytes:
        """Return up to 64 KiB from `offset` on, up to a cut; read once for all who want them."""
        key = (stream, offset)
        reading = self._pieces.get(key)
        if reading is None:
            self.reads += 1
            reading = asyncio.create_task(
                output.piece(self._pool, self._execution_id, stream, offset, PIECE_BYTES)
            )
            self._pieces[key] = reading
            reading.add_done_callback(lambda done: self._keep(key, done))
            while len(self._pieces) > _PIECES_KEPT:
                self._pieces.popitem(last=False)
        # Shielded: one who goes away must not take the piece from others who wait for it.
        return await asyncio.shield(reading)

    def _keep(self, key: tuple[str, int], done: asyncio.Task[bytes]) -> None:
        """Keep what was read; what was not there, or could not be read, is tried again."""
        failed = done.cancelled() or done.exception() is not None
        if (failed or not done.result()) and self._pieces.get(key) is done:
            del self._pieces[key]

    def close(self) -> None:
        """Look no more: the last follower has gone."""
        if self._watch is not None:
            self._watch.cancel()

    async def _look_on(self) -> None:
        """Look at each piece of news, and twice a second without any, until the end."""
        try:
            with self._waiting.output(self._execution_id) as ear:
                while not (self._waiting.stopping or self.progress.is_final):
                    # While the database is away there is no news; followers need not notice.
                    with contextlib.suppress(*_PASSING):
                        await self._look()
                    await asyncio.sleep(_PAUSE_SECONDS)
                    await ear.news(_LOOK_SECONDS)
        finally:
            self._tell()

    async def _look(self) -> None:
        view = await self._views.one(self._execution_id)
        if view is not None and (progress := progress_of(view)) != self.progress:
            self.progress = progress
            self._tell()

    def _tell(self) -> None:
        told, self.change = self.change, self._loop.create_future()
        told.set_result(None)


class Followers:
    """Who follows which execution at this server."""

    def __init__(self, pool: AsyncConnectionPool[Any], views: Views, waiting: Waiting) -> None:
        self._pool = pool
        self._views = views
        self._waiting = waiting
        self._feeds: dict[UUID, Feed] = {}
        self._reads = 0
        self.count = 0

    @property
    def reads(self) -> int:
        """How many pieces of output were read, of all that were sent."""
        return self._reads + sum(feed.reads for feed in self._feeds.values())

    @property
    def are_full(self) -> bool:
        """Whether there is no room for one more follower."""
        return self.count >= FOLLOWERS_MAX

    def check_room(self) -> None:
        """Raise `Problem` 503 if there is no room for one more follower."""
        check_room(self.count)

    @contextlib.contextmanager
    def joined(self, view: View) -> Iterator[Feed]:
        """Be a follower of an execution while the block runs."""
        execution_id = view.row.id
        feed = self._feeds.get(execution_id)
        if feed is None:
            feed = self._feeds[execution_id] = Feed(view, self._pool, self._views, self._waiting)
        self.count += 1
        feed.followers += 1
        try:
            yield feed
        finally:
            self.count -= 1
            feed.followers -= 1
            if feed.followers == 0:
                del self._feeds[execution_id]
                self._reads += feed.reads
                feed.close()


class Follower:
    """One reader of one or both streams, and how far it has been served.

    Args:
        followers: those of this server.
        view: the execution as it was when the reader came.
        offsets: where it begins, or goes on, in each stream that it wants.
        may_go_on: asked every other second; a revoked token ends it.
    """

    def __init__(
        self,
        followers: Followers,
        view: View,
        offsets: Mapping[str, int],
        may_go_on: Callable[[], Awaitable[bool]],
    ) -> None:
        self._followers = followers
        self._view = view
        self._offsets = dict(offsets)
        self._may_go_on = may_go_on

    async def parts(self) -> AsyncGenerator[bytes, None]:
        """Yield events as they come: all output, then the end; else a comment that says why not."""
        if self._followers.are_full:  # many have asked in the same moment
            yield b"retry: 10000\n\n: too many followers; go on with Last-Event-ID\n\n"
            return
        with self._followers.joined(self._view) as feed:
            yield b"retry: 1000\n\n"
            checked = said = time.monotonic()
            while not feed.is_broken_off:
                # Taken before looking: what comes while we look is not missed.
                change, progress, sent = feed.change, feed.progress, False
                try:
                    for stream in self._offsets:
                        if event := await self._next(feed, progress, stream):
                            yield event
                            sent = True
                except _PASSING:
                    # The database is away for now; the reader need not notice.
                    await asyncio.sleep(_LOOK_SECONDS)
                    continue
                if progress.is_final and not sent:
                    yield self._event("end", FollowedEnd(progress.status, progress.exit_code))
                    return
                now = time.monotonic()
                if sent:
                    said = now
                elif now - said >= _SILENCE_SECONDS:
                    said = now
                    yield b": keep-alive\n\n"
                if now - checked >= _CHECK_SECONDS:
                    checked = now
                    if not await self._may_go_on():
                        yield b": this access token is no longer good\n\n"
                        return
                if not sent:
                    await asyncio.wait({change}, timeout=_CHECK_SECONDS)
            yield b": broken off; go on with Last-Event-ID\n\n"

    async def _next(self, feed: Feed, progress: Progress, stream: str) -> bytes | None:
        """Return the next event of one stream, None if there is none yet."""
        at, stored = self._offsets[stream], progress.streams[stream]
        if at >= stored.written_bytes:
            return None
        first, beyond = stored.omitted_from, stored.omitted_to
        if first is not None and beyond is not None and first <= at < beyond:
            self._offsets[stream] = beyond
            return self._event("omitted", FollowedOmission(stream, at, beyond))
        piece = await feed.piece(stream, at)
        if progress.is_final:
            # What an agent that was given up sent later is not part of the output.
            piece = piece[: stored.written_bytes - at]
        if not piece:
            return None
        self._offsets[stream] = at + len(piece)
        return self._event("output", FollowedOutput(stream, at, piece))

    def _event(self, name: str, data: Struct) -> bytes:
        """Return an event; its id says where to go on after it."""
        place = ".".join(map(str, self._offsets.values()))
        return f"id: {place}\nevent: {name}\ndata: ".encode() + self.data(data) + b"\n\n"

    def data(self, said: Struct) -> bytes:
        """Return what an event says, on one line: JSON. The pages say it otherwise."""
        return answers.encoded(said)
