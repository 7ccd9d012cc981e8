"""A reader of live output and live events for tests: server-sent events over a plain connection."""

from __future__ import annotations

import base64
import http.client
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlencode, urlsplit

from tests.support.calls import PATH, SECONDS, Api


@dataclass(frozen=True)
class Event:
    """One event, or a comment (its name is then empty)."""

    name: str
    id: str
    data: Any

    @property
    def bytes(self) -> bytes:
        """The output that it carries."""
        return base64.b64decode(self.data["base64"]) if self.name == "output" else b""


class Live:
    """One connection that follows one execution, or `path`; `after` is the Last-Event-ID."""

    def __init__(
        self,
        api: Api,
        execution: str,
        query: Mapping[str, Any] | None = None,
        *,
        after: str | None = None,
        path: str | None = None,
    ) -> None:
        parts = urlsplit(api.url)
        self.connection = http.client.HTTPConnection(
            parts.hostname or "", parts.port or 0, timeout=SECONDS
        )
        headers = {"Authorization": f"Bearer {api.token}"}
        if after is not None:
            headers["Last-Event-ID"] = after
        asked = urlencode({"follow": "true", **(query or {})}, doseq=True)
        path = path or f"{PATH}/{execution}/logs"
        self.connection.request("GET", f"{path}?{asked}", headers=headers)
        self.answer = self.connection.getresponse()

    def events(self) -> Iterator[Event]:
        """Events and comments as they come, until the server ends the answer."""
        fields: dict[str, str] = {}
        while line := self.answer.readline():
            name, _, value = line.decode().rstrip("\n").partition(": ")
            if line != b"\n":
                fields[name] = value
                continue
            if "event" in fields:
                yield Event(fields["event"], fields["id"], json.loads(fields["data"]))
            elif "" in fields:
                yield Event("", "", fields[""])
            fields = {}

    def until(self, name: str) -> list[Event]:
        """Everything up to the first event of this name; fails if the answer ends before."""
        seen = []
        for event in self.events():
            seen.append(event)
            if event.name == name:
                return seen
        raise AssertionError(f"ended without {name}: {seen}")

    def close(self) -> None:
        """Hang up."""
        self.answer.close()
        self.connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def joined(events: list[Event], stream: str = "stdout") -> bytes:
    """The bytes of one stream that these events carry."""
    return b"".join(e.bytes for e in events if e.name == "output" and e.data["stream"] == stream)


def metric(api: Api, name: str) -> int:
    """One figure of /metrics."""
    lines = api.request("GET", "/metrics").ok().body.decode().splitlines()
    (found,) = [line.split()[-1] for line in lines if line.startswith(f"{name} ")]
    return int(float(found))


def live_ledger(api: Api, query: Mapping[str, Any] | None = None, *, after: object = None) -> Live:
    """A connection that follows the whole ledger; `after` is the header Last-Event-ID."""
    return Live(api, "", query, after=None if after is None else str(after), path="/v1/events")
