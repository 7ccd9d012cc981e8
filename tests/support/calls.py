"""Plain HTTP calls for the tests at the boundary: a client that knows nothing of the product.

`Api.request` sends exactly what it is given; the other methods are steps that a test needs to get
where it begins, and fail the test if the server refuses.
"""

import http.client
import itertools
import json
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeVar
from urllib.parse import quote, urlencode, urlsplit

PATH: Final = "/v1/cron-executions"
SECONDS: Final = 20.0
ENDED: Final = ("success", "failed", "timeout", "canceled")
STATUSES: Final = ("pending", "running", *ENDED)

_numbers = itertools.count(1)
_mark: Final = uuid.uuid4().hex[:8]
_T = TypeVar("_T")
Query = Mapping[str, Any] | Sequence[tuple[str, Any]] | str


def fresh(prefix: str) -> str:
    """A name that nobody used before, in this run or beside it."""
    return f"{prefix}-{_mark}-{next(_numbers)}"


def execution_id(moment: datetime | None = None) -> str:
    """An id as a client makes it, by the public rules: a TypeID of a UUIDv7 of that moment."""
    seconds = time.time() if moment is None else moment.timestamp()
    number = round(seconds * 1000) << 80 | 0x7 << 76 | 0b10 << 62
    number |= (uuid.uuid4().int & ((1 << 62) - 1)) | next(_numbers) % 4096 << 64
    alphabet = "0123456789abcdefghjkmnpqrstvwxyz"
    return "exec_" + "".join(alphabet[number >> shift & 31] for shift in range(125, -1, -5))


def eventually(look: Callable[[], _T], what: str, seconds: float = SECONDS) -> _T:
    """Look again and again until there is something to see; return it. Fails after the deadline."""
    deadline = time.monotonic() + seconds
    pause = 0.005
    while True:
        seen = look()
        if seen:
            return seen
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what}; last seen: {seen!r}")
        time.sleep(pause)  # between two looks, not instead of one
        pause = min(2 * pause, 0.1)


@dataclass(frozen=True)
class Reply:
    """What the server answered."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    def json(self) -> Any:
        """The body, decoded."""
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The code of a problem."""
        found = self.json()["error"]["code"]
        assert isinstance(found, str)
        return found

    def ok(self, *allowed: int) -> "Reply":
        """This reply, if its status is one of those allowed (200 without any)."""
        assert self.status in (allowed or (200,)), (self.status, self.body[:1000])
        return self


class Api:
    """A client with one token; each request goes over a connection of its own."""

    def __init__(self, url: str, token: str | None) -> None:
        self.url = url
        self.token = token
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port or 0

    def with_token(self, token: str | None) -> "Api":
        """Another client of the same server."""
        return Api(self.url, token)

    def request(
        self,
        method: str,
        path: str,
        query: Query = (),
        *,
        payload: Any = ...,
        body: bytes | None = None,
        headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
        seconds: float = SECONDS,
    ) -> Reply:
        """Send one request as it is; `payload` is sent as declared JSON."""
        if query:
            text = query if isinstance(query, str) else urlencode(query, doseq=True)
            path = f"{path}?{text}"
        sent = {} if self.token is None else {"Authorization": f"Bearer {self.token}"}
        if payload is not ...:
            body = json.dumps(payload).encode()
            sent["Content-Type"] = "application/json"
        sent |= dict(headers)
        connection = http.client.HTTPConnection(self._host, self._port, timeout=seconds)
        try:
            connection.request(method, path, body=body, headers=sent)
            answer = connection.getresponse()
            return Reply(answer.status, answer.headers, answer.read())
        finally:
            connection.close()

    def get(self, path: str = "", query: Query = (), **options: Any) -> Reply:
        """GET below the executions' path."""
        return self.request("GET", PATH + path, query, **options)

    def post(self, path: str = "", payload: Any = ..., **options: Any) -> Reply:
        """POST below the executions' path."""
        return self.request("POST", PATH + path, payload=payload, **options)

    # ------------------------------------------------------------------------------------- steps

    def create(self, **fields: Any) -> dict[str, Any]:
        """Create a pending execution; unless told otherwise, for an agent that never comes."""
        body = {"job_name": fresh("job"), "command": "true", "pinned_agent_id": fresh("nobody")}
        return dict(self.post("", body | fields).ok(201).json())

    def start(self, **fields: Any) -> "Held":
        """Create an execution that runs from the first moment on, and hold its lease."""
        body = {"job_name": fresh("job"), "command": "true", "claim": {"agent_id": fresh("agent")}}
        return Held(self, self.post("", body | fields).ok(201).json())

    def claim(self, agent_id: str, *, wait_seconds: float = 0, **options: Any) -> "Held | None":
        """Claim; None if there is nothing to do."""
        body = {"agent_id": agent_id, "wait_seconds": wait_seconds}
        reply = self.post("/claim", body, seconds=wait_seconds + SECONDS, **options).ok(200, 204)
        return Held(self, reply.json()) if reply.status == 200 else None

    def brought_to(self, status: str, **fields: Any) -> dict[str, Any]:
        """Make an execution and bring it to a status; return it as get shows it."""
        if status == "pending":
            return self.one(self.create(**fields)["id"])
        if status == "canceled":
            created = self.create(**fields)
            self.post(f"/{created['id']}/cancel").ok(200)
            return self.one(created["id"])
        held = self.start(**fields)
        if status != "running":
            held.complete(**REPORTS[status]).ok()
        return self.one(held.id)

    def one(self, execution: str) -> dict[str, Any]:
        """Get one execution."""
        return dict(self.get(f"/{quote(execution, safe='')}").ok().json())

    def logs(self, execution: str, stream: str = "stdout") -> bytes:
        """The raw bytes of one stream."""
        return self.get(f"/{execution}/logs", {"stream": stream}).ok().body

    def events(self, execution: str) -> list[dict[str, Any]]:
        """The audit trail of one execution."""
        return list(self.get(f"/{execution}/events").ok().json()["data"])

    def types(self, execution: str) -> list[str]:
        """What happened to an execution, in a word each."""
        return [event["type"].removeprefix("execution.") for event in self.events(execution)]

    def cancel(self, execution: str) -> Reply:
        """Ask for a cancel."""
        return self.post(f"/{execution}/cancel")

    def all_pages(self, query: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """Everything that matches, page by page."""
        asked, found = {"limit": 100, **(query or {})}, []
        while True:
            page = self.get("", asked).ok().json()
            found += page["data"]
            if not page["pagination"]["has_more"]:
                return found
            asked["cursor"] = page["pagination"]["next_cursor"]

    def newest_named(self, job_name: str) -> list[dict[str, Any]]:
        """Those of a job among the newest: all of a job that is some moments old."""
        page = self.get("", {"limit": 50}).ok().json()["data"]
        return [one for one in page if one["job_name"] == job_name]

    def until(
        self, execution: str, seen: Callable[[dict[str, Any]], object], seconds: float = SECONDS
    ) -> dict[str, Any]:
        """Wait until `seen` of the execution is true; return the execution then."""

        def look() -> dict[str, Any] | None:
            found = self.one(execution)
            return found if seen(found) else None

        found = eventually(look, f"execution {execution}", seconds)
        assert found is not None
        return found

    def until_ended(self, execution: str, seconds: float = SECONDS) -> dict[str, Any]:
        """Wait until the execution is final; return it."""
        return self.until(execution, lambda found: found["status"] in ENDED, seconds)


def waiting_claims(api: Api) -> int:
    """How many claims wait for work, by /metrics."""
    lines = api.request("GET", "/metrics").ok().body.decode().splitlines()
    counts = [line.split()[-1] for line in lines if line.startswith("cronledger_claims_waiting ")]
    assert len(counts) == 1
    return int(float(counts[0]))


REPORTS: Final[dict[str, dict[str, Any]]] = {
    "success": {"outcome": "exited", "exit_code": 0, "duration_ms": 12},
    "failed": {"outcome": "exited", "exit_code": 3, "duration_ms": 12},
    "timeout": {"outcome": "timed_out", "exit_code": 143, "signal": 15, "duration_ms": 12},
}


class Held:
    """An execution that runs, and its lease."""

    def __init__(self, api: Api, claimed: Mapping[str, Any]) -> None:
        self.api = api
        self.execution: dict[str, Any] = claimed["execution"]
        self.lease: dict[str, Any] = claimed["lease"]
        self.id: str = self.execution["id"]
        self.headers = {"Lease-Token": self.lease["token"]}

    def append(
        self, data: bytes, offset: int = 0, stream: str = "stdout", skip_to: int | None = None
    ) -> Reply:
        """Send output."""
        query: dict[str, Any] = {"stream": stream, "offset": offset}
        if skip_to is not None:
            query["skip_to"] = skip_to
        headers = {**self.headers, "Content-Type": "application/octet-stream"}
        return self.api.post(f"/{self.id}/logs", query=query, body=data, headers=headers)

    def heartbeat(self, wait_seconds: float = 0) -> Reply:
        """Renew the lease."""
        body = {"wait_seconds": wait_seconds}
        return self.api.post(
            f"/{self.id}/heartbeat", body, headers=self.headers, seconds=wait_seconds + SECONDS
        )

    def complete(self, **report: Any) -> Reply:
        """Report the outcome."""
        return self.api.post(f"/{self.id}/complete", report, headers=self.headers)
