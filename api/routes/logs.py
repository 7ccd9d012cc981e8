"""Raw output: the bytes that a command wrote, none lost and none changed."""

import asyncio
import re
from typing import Any, Final

from litestar import Request, get
from litestar.types import ASGIApp

from api import parameters, wire
from api.answers import Answered, Streamed
from api.follow import Follower
from api.ledger import Ledger, of
from api.problems import Problem, invalid
from api.routes.agents import stream_of
from api.routes.executions import PATH
from store import output

Req = Request[Any, Any, Any]
_RANGE: Final = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})\Z")
_PLACE: Final = re.compile(r"[0-9]{1,15}(\.[0-9]{1,15})?\Z")
_TAIL_MAX: Final = 1_000_000
_LIVE: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


@get(PATH + "/{execution_id:str}/logs")
async def read_logs(request: Req) -> ASGIApp:
    """Return what was kept of one output stream: all, a range, the last lines, or live events."""
    ledger = of(request)
    await ledger.authenticator.require(request, "read")
    values = parameters.query(request, ("stream", "tail", "follow", "last_event_id"))
    places = _places(request, values)
    if parameters.boolean(values, "follow"):
        return await _follow(ledger, request, values, places)
    if "last_event_id" in values:
        raise invalid("last_event_id", "is only for follow=true")
    stream = stream_of(values)
    tail = parameters.integer(values, "tail", -1, 0, _TAIL_MAX)
    view = await ledger.view(parameters.execution_id(request))
    row, texts = view.row, view.texts
    stored = texts.stdout if stream == "stdout" else texts.stderr
    sealed = row.stdout_kept_bytes if stream == "stdout" else row.stderr_kept_bytes
    stored = stored.sealed(sealed)
    if stored.erased_at is not None:
        when = wire.timestamp(stored.erased_at)
        raise Problem(
            410, "erased", f"The output of this execution was erased at {when}; nobody has it here."
        )
    kept = await output.read(ledger.pool, row.id, stream, sealed)
    headers = {"Accept-Ranges": "bytes", "X-Content-Type-Options": "nosniff"}
    if stored.omitted_from is not None:
        # Offsets of the original output, [from, to): that many bytes were left out there.
        headers["Output-Omitted"] = f"{stored.omitted_from}-{stored.omitted_to}"
    status = 200
    if tail >= 0:
        # A million lines of a large output would hold up every other request.
        kept = await asyncio.to_thread(last_lines, kept, tail)
    elif (wanted := parameters.header(request, "range")) is not None:
        first, last = _range(wanted, len(kept))
        headers["Content-Range"] = f"bytes {first}-{last}/{len(kept)}"
        kept, status = kept[first : last + 1], 206
    return Answered(kept, status, "application/octet-stream", headers)


async def _follow(
    ledger: Ledger, request: Req, values: dict[str, list[str]], places: list[int] | None
) -> Streamed:
    """Return the output as it comes, of both streams unless one is named."""
    if "tail" in values:
        raise invalid("tail", "cannot be given together with follow")
    streams = [stream_of(values)] if "stream" in values else list(output.STREAMS)
    if places is None:
        places = [0] * len(streams)
    if len(places) != len(streams):
        raise invalid("last_event_id", "is of another choice of streams: repeat the same stream")
    offsets = dict(zip(streams, places, strict=True))

    async def may_go_on() -> bool:
        return await ledger.authenticator.still_allows(request, "read")

    view = await ledger.view(parameters.execution_id(request))
    ledger.followers.check_room()
    follower = Follower(ledger.followers, view, offsets, may_go_on)
    return Streamed(follower.parts(), "text/event-stream", _LIVE)


def _places(request: Req, values: dict[str, list[str]]) -> list[int] | None:
    """Return the offsets after the last event that the client names, None if it names none.

    A browser that reconnects repeats the query as it was, so that the header is the newer word.
    """
    name, said = "Last-Event-ID", parameters.header(request, "last-event-id")
    if said is None and "last_event_id" in values:
        name, said = "last_event_id", values["last_event_id"][0]
    if said is None:
        return None
    if not _PLACE.match(said):
        raise invalid(name, "must be the id of an event: an offset, or two joined by a dot")
    return [int(offset) for offset in said.split(".")]


def last_lines(data: bytes, lines: int) -> bytes:
    """Return the last `lines` lines of `data`."""
    if lines == 0:
        return b""
    position = len(data) - 1 if data.endswith(b"\n") else len(data)
    for _ in range(lines):
        position = data.rfind(b"\n", 0, position)
        if position < 0:
            return data
    return data[position + 1 :]


def _range(header: str, size: int) -> tuple[int, int]:
    match = _RANGE.match(header.strip())
    if match is None or match.group(1) == match.group(2) == "":
        raise invalid("Range", "must be one range of bytes, such as bytes=0-1023")
    start, end = match.groups()
    if start == "":
        first, last = max(0, size - int(end)), size - 1
    else:
        first, last = int(start), min(int(end), size - 1) if end else size - 1
    if first > last or first >= size:
        raise Problem(
            416,
            "validation_error",
            f"Range: there are {size} bytes.",
            headers={"Content-Range": f"bytes */{size}"},
        )
    return first, last


HANDLERS: Final = (read_logs,)
