"""Output on the page of one execution: the last part of it, and what follows while it runs."""

import asyncio
import re
from collections.abc import AsyncGenerator, Mapping
from typing import Any, Final

import psycopg
from litestar import get
from litestar.types import ASGIApp
from markupsafe import Markup
from msgspec import Struct

from api import answers, parameters
from api.answers import Streamed
from api.follow import FollowedEnd, FollowedOutput, Follower
from api.ledger import Ledger, of
from api.pages import door, rendered, words
from api.pages.coloured import Coloured
from api.pages.rendered import Req
from api.problems import Problem, invalid
from projections.queries import View
from store import output
from store.output import StoredStream

# What a browser draws at once, and reads to the end without trouble.
SHOWN_BYTES: Final = 128 * 1024
SHOWN_LINES: Final = 2000
_PLACE: Final = re.compile(r"[0-9]{1,15}\.[0-9]{1,15}\Z")
_INLINE_BYTES: Final = 16 * 1024


class Pane(Struct, frozen=True):
    """What the page shows of one stream: its last part as HTML, and what is not shown."""

    stream: str
    title: str
    written_bytes: int
    content: Markup
    left_out: str
    omitted: str
    erased: str
    follows_from: int


class ShownPiece(Struct):
    """Output of a running command as the page adds it."""

    stream: str
    html: str


class ShownEnd(Struct):
    """How it ended, and what was held back of either stream."""

    status: str
    stdout: str
    stderr: str


async def panes(ledger: Ledger, view: View) -> list[Pane]:
    """Return both streams as they are shown."""
    row, texts = view.row, view.texts
    return [
        await _pane(ledger, view, "stdout", texts.stdout, row.stdout_kept_bytes),
        await _pane(ledger, view, "stderr", texts.stderr, row.stderr_kept_bytes),
    ]


async def _pane(
    ledger: Ledger, view: View, stream: str, stored: StoredStream, sealed_bytes: int | None
) -> Pane:
    told = stored.sealed(sealed_bytes)
    end = told.written_bytes
    first = max(0, end - SHOWN_BYTES)
    if told.omitted_to is not None and first < told.omitted_to:
        first = min(told.omitted_to, end)
    data = b""
    while first + len(data) < end:
        more = await output.piece(
            ledger.pool, view.row.id, stream, first + len(data), end - first - len(data)
        )
        if not more:
            break
        data += more
    if len(data) > _INLINE_BYTES:
        content, skipped = await asyncio.to_thread(shown_tail, data, is_whole=first == 0)
    else:
        content, skipped = shown_tail(data, is_whole=first == 0)
    before = first + skipped
    if told.omitted_from is not None and told.omitted_to is not None:
        before -= min(told.omitted_to, before) - told.omitted_from
    erased = ""
    if sealed_bytes and not stored.kept_bytes:
        erased = f"This output was erased. {words.size(sealed_bytes)} had been kept."
    return Pane(
        stream=stream,
        title="Output" if stream == "stdout" else "Error log",
        written_bytes=end,
        content=Markup(content),  # noqa: S704 - escaped piece by piece
        left_out=words.size(before) if before > 0 else "",
        omitted=_omitted(told),
        erased=erased,
        follows_from=end,
    )


def _omitted(told: StoredStream) -> str:
    if told.omitted_from is None or told.omitted_to is None:
        return ""
    return words.size(told.omitted_to - told.omitted_from)


def shown_tail(data: bytes, *, is_whole: bool) -> tuple[str, int]:
    """Return the last lines of `data` as HTML, and how many bytes before them are not shown."""
    start = 0
    if not is_whole:
        # Not from the middle of a line, unless there is but one.
        start = data.find(b"\n") + 1
    at = len(data) - 1 if data.endswith(b"\n") else len(data)
    for _ in range(SHOWN_LINES):
        at = data.rfind(b"\n", start, max(at, start))
        if at < 0:
            break
    else:
        start = at + 1
    coloured = Coloured()
    return coloured.feed(data[start:]) + coloured.flush(), start


class PageFollower(Follower):
    """A follower whose events hold HTML, made as the rest of the page is."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._coloured = {stream: Coloured() for stream in output.STREAMS}

    def data(self, said: Struct) -> bytes:
        """Return what an event says, for the page."""
        if isinstance(said, FollowedOutput):
            piece = self._coloured[said.stream].feed(said.base64)
            return answers.encoded(ShownPiece(said.stream, piece))
        if isinstance(said, FollowedEnd):
            rest = [coloured.flush() for coloured in self._coloured.values()]
            return answers.encoded(ShownEnd(said.status, *rest))
        return answers.encoded(said)


@get("/executions/{execution_id:str}/live", exception_handlers={Exception: rendered.respond})
async def follow(request: Req) -> ASGIApp:
    """Send output as it comes, as HTML in server-sent events."""
    ledger = of(request)
    await door.visitor(request)
    values = parameters.query(request, ("from",))
    # A browser that reconnects repeats the address as it was: the header is the newer word.
    place = parameters.header(request, "last-event-id") or values.get("from", ["0.0"])[0]
    if not _PLACE.match(place):
        raise invalid("from", "must be two offsets, joined by a dot")
    offsets: Mapping[str, int] = dict(zip(output.STREAMS, map(int, place.split(".")), strict=True))

    async def may_go_on() -> bool:
        try:
            await door.visitor(request)
        except Problem:
            return False
        except psycopg.Error:
            pass  # nobody can tell for now
        return True

    view = await ledger.view(parameters.execution_id(request))
    ledger.followers.check_room()
    parts: AsyncGenerator[bytes, None] = PageFollower(
        ledger.followers, view, offsets, may_go_on
    ).parts()
    return Streamed(parts, "text/event-stream", {**rendered.HEADERS, "X-Accel-Buffering": "no"})


HANDLERS: Final = (follow,)
