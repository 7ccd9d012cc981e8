"""`cronledger logs --follow`: output as it is written; and how live events are taken up again."""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from agent.backoff import Backoff
from agent.client import Client, Problem, Unreachable
from cli.connection import execution_path
from cli.output import Output

_EVENTS = "text/event-stream"


class Event(NamedTuple):
    """One server-sent event; its id says where to go on after it."""

    id: str
    name: str
    data: Any


def follow(client: Client, execution_id: str, streams: Iterable[str], output: Output) -> int:
    """Write output as it comes; a connection that is lost later is taken up where it broke off.

    Raises:
        Problem: The server refuses.
        Unreachable: It could not be reached in the first place.
    """
    query = [("follow", "true"), *(("stream", stream) for stream in streams)]
    for event in resumed(client, execution_path(execution_id, "/logs"), query):
        if event.name == "end":
            output.close()
            _say(_end_of(execution_id, event.data))
            break
        _show(event, output)
    return 0


def resumed(client: Client, path: str, query: Sequence[tuple[str, str]]) -> Iterator[Event]:
    """Yield server-sent events; after a lost connection, for ever, those after the last one.

    Raises:
        Problem: The server refuses.
        Unreachable: It could not be reached in the first place.
    """
    backoff, last = Backoff(), None
    was_there = False
    while True:
        headers = {"Accept": _EVENTS} if last is None else {"Last-Event-ID": last}
        asked = None
        try:
            lines = client.lines(path, query, headers, _EVENTS)
            with contextlib.closing(lines):
                first = next(lines, b"")
                was_there = True
                for event in events(itertools.chain([first], lines)):
                    last = event.id
                    backoff.reset()
                    yield event
        except Unreachable as error:
            if not was_there:
                raise
            _say(f"{error}; trying again")
        except Problem as problem:
            if not (was_there and problem.passing):
                raise
            asked = problem.retry_after
            _say(f"{problem}; trying again")
        time.sleep(backoff.next_delay(asked))


def _show(event: Event, output: Output) -> None:
    if event.name == "output":
        output.write(event.data["stream"], base64.b64decode(event.data["base64"]))
    elif event.name == "omitted":
        missing = event.data["to"] - event.data["from"]
        say_omitted(event.data["stream"], missing)


def _end_of(execution_id: str, data: Mapping[str, Any]) -> str:
    code = data.get("exit_code")
    how = "" if code is None else f", exit code {code}"
    return f"{execution_id} has ended: {data.get('status')}{how}"


def say_omitted(stream: str, missing: int) -> None:
    """Say on standard error that output is missing: bytes that are not there cannot speak."""
    print(
        f"cronledger: {missing} bytes of {stream} were left out here", file=sys.stderr, flush=True
    )


def _say(sentence: str) -> None:
    """Say something to a person; what is piped holds the command's own bytes and no other."""
    if sys.stderr.isatty():
        print(f"cronledger: {sentence}", file=sys.stderr, flush=True)


def events(lines: Iterable[bytes]) -> Iterator[Event]:
    """Yield the events of a stream of lines; one that was cut short is none."""
    fields: dict[str, str] = {}
    for line in lines:
        name, _, value = line.decode().rstrip("\r\n").partition(":")
        if name:
            fields[name] = value.removeprefix(" ")
            continue
        if not value and "event" in fields:
            yield Event(fields.get("id", ""), fields["event"], json.loads(fields["data"]))
        if not value:
            fields = {}
