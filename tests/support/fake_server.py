"""A small real HTTP server that speaks the agents' side of the contract and fails on request.

It keeps everything in memory and a book of what it was told, so that tests of the agent and of
the commands need neither a database nor the real server.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

TOKEN = "clk_made_up"
BASE = "/v1/cron-executions"
DEADLINE_SECONDS = 20.0

# Faults: what a test may ask the server to do with the next request of a kind.
DROP_BEFORE = "drop before"  # not carried out, connection closed
DROP_AFTER = "drop after"  # carried out, but the answer is lost


@dataclass
class Stream:
    """Kept output: bytes by offset, with the range that was left out."""

    next_offset: int = 0
    data: bytes = b""
    omitted: tuple[int, int] | None = None


@dataclass
class Execution:
    """What the fake server knows about one execution."""

    id: str
    config: dict[str, Any]
    status: str = "pending"
    lease_token: str = ""
    cancel_requested: bool = False
    lease_lost: bool = False
    heartbeats: int = 0
    reports: list[dict[str, Any]] = field(default_factory=list)
    stdout: Stream = field(default_factory=Stream)
    stderr: Stream = field(default_factory=Stream)

    def public(self) -> dict[str, Any]:
        """Return the object as a claim shows it."""
        return {"id": self.id, "status": self.status, **self.config}

    @property
    def report(self) -> dict[str, Any]:
        """The one final report; fails if there is none, or if repetitions differ."""
        assert self.reports, f"{self.id} was never completed"
        assert all(report == self.reports[0] for report in self.reports)
        return self.reports[0]


@dataclass(frozen=True)
class Request:
    """One request as it arrived."""

    kind: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """Return the decoded body."""
        return json.loads(self.body)


Reply = tuple[int, dict[str, Any] | bytes | None]


def problem(status: int, code: str, detail: str, **members: Any) -> Reply:
    """Return a problem document."""
    error = {"code": code, "message": detail, "details": []}
    return status, {"title": code, "status": status, "detail": detail, "error": error, **members}


class FakeServer:
    """The state behind the HTTP handlers; every access happens under `changed`."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.changed = threading.Condition()
        self.executions: dict[str, Execution] = {}
        self.requests: list[Request] = []
        self.replies: dict[str, list[Reply]] = {}
        self.kept_max = 10 * 1024 * 1024
        self.heartbeat_seconds: float = 10
        self._faults: dict[str, list[str | Reply]] = {}
        self._claims: dict[str, str] = {}
        self._polls_ended = False

    def add(self, command: str | list[str], **config: Any) -> Execution:
        """Put a pending execution into the queue."""
        with self.changed:
            config = {"job_name": "nightly", "timeout_seconds": 300, "command": command, **config}
            execution = Execution(f"exec_{len(self.executions)}", config)
            self.executions[execution.id] = execution
            self.changed.notify_all()
            return execution

    def fail(self, kind: str, *faults: str | Reply) -> None:
        """Meet the next requests of this kind with these faults, one each."""
        with self.changed:
            self._faults.setdefault(kind, []).extend(faults)

    def cancel(self, execution: Execution) -> None:
        """Ask for a cancel of a running execution."""
        with self.changed:
            execution.cancel_requested = True
            self.changed.notify_all()

    def lose_lease(self, execution: Execution) -> None:
        """Let the lease be lost."""
        with self.changed:
            execution.lease_lost = True
            self.changed.notify_all()

    def end_polls(self) -> None:
        """Answer waiting claims at once, as a server that stops."""
        with self.changed:
            self._polls_ended = True
            self.changed.notify_all()

    def wait_for(self, predicate: Callable[[], object]) -> None:
        """Wait until something is so; fails after a deadline."""
        with self.changed:
            assert self.changed.wait_for(predicate, DEADLINE_SECONDS), "it never became so"

    def seen(self, kind: str) -> list[Request]:
        """Return the requests of one kind, oldest first."""
        with self.changed:
            return [request for request in self.requests if request.kind == kind]

    def take_fault(self, kind: str) -> str | Reply | None:
        """Return what is to go wrong with this request."""
        with self.changed:
            faults = self._faults.get(kind)
            return faults.pop(0) if faults else None

    def answer(self, request: Request) -> Reply:
        """Carry out a request."""
        with self.changed:
            self.requests.append(request)
            self.changed.notify_all()
            if request.headers.get("authorization") != f"Bearer {TOKEN}":
                return problem(401, "invalid_token", "the access token is not known")
            prepared = self.replies.get(request.kind)
            if prepared:
                return prepared.pop(0)
            handler = getattr(self, f"_{request.kind}", None)
            if handler is None:
                return problem(404, "resource_not_found", "there is no such execution")
            reply: Reply = handler(request)
            self.changed.notify_all()
            return reply

    def _claim(self, request: Request) -> Reply:
        claim_id = request.headers["claim-id"]
        deadline = time.monotonic() + request.json()["wait_seconds"]
        while True:
            if claim_id in self._claims:
                return 200, self._granted(self.executions[self._claims[claim_id]])
            waiting = [one for one in self.executions.values() if one.status == "pending"]
            if waiting and not request.json().get("settle"):
                self._claims[claim_id] = waiting[0].id
                waiting[0].status = "running"
                continue
            left = deadline - time.monotonic()
            if left <= 0 or self._polls_ended:
                return 204, None
            self.changed.wait(left)

    def _create(self, request: Request) -> Reply:
        config = request.json()
        execution = self.executions.get(config["id"])
        if execution is None:
            execution = Execution(config.pop("id"), config)
            self.executions[execution.id] = execution
            execution.status = "running"
        elif execution.status != "running" or execution.lease_lost:
            return problem(409, "lease_lost", "the lease is gone")
        return 201, self._granted(execution)

    def _granted(self, execution: Execution) -> dict[str, Any]:
        execution.lease_token = f"lease of {execution.id}"
        lease = {
            "token": execution.lease_token,
            "heartbeat_seconds": self.heartbeat_seconds,
            "seconds": 3 * self.heartbeat_seconds,
        }
        return {"execution": execution.public(), "lease": lease}

    def _leased(self, request: Request) -> Execution | Reply:
        execution = self.executions[request.path.split("/")[-2]]
        if execution.lease_lost or request.headers.get("lease-token") != execution.lease_token:
            return problem(409, "lease_lost", "the lease is gone")
        return execution

    def _heartbeat(self, request: Request) -> Reply:
        execution = self._leased(request)
        if isinstance(execution, tuple):
            return execution
        execution.heartbeats += 1
        self.changed.notify_all()
        self.changed.wait_for(
            lambda: execution.cancel_requested or execution.lease_lost or execution.reports,
            request.json()["wait_seconds"],
        )
        if execution.lease_lost:
            return problem(409, "lease_lost", "the lease is gone")
        return 200, {"cancel_requested": execution.cancel_requested}

    def _logs(self, request: Request) -> Reply:
        execution = self._leased(request)
        if isinstance(execution, tuple):
            return execution
        stream: Stream = getattr(execution, request.query["stream"])
        offset = int(request.query["offset"])
        if offset > stream.next_offset:
            expected = stream.next_offset
            return problem(409, "conflict", "there is a gap", expected_offset=expected)
        if offset == stream.next_offset:
            if len(stream.data) + len(request.body) > self.kept_max:
                return problem(413, "payload_too_large", "more than is kept")
            if "skip_to" in request.query:
                assert stream.omitted is None, "a second range left out"
                stream.omitted = (offset, int(request.query["skip_to"]))
                offset = stream.omitted[1]
            stream.data += request.body
            stream.next_offset = offset + len(request.body)
        cancel = execution.cancel_requested
        return 200, {"next_offset": stream.next_offset, "cancel_requested": cancel}

    def _complete(self, request: Request) -> Reply:
        execution = self._leased(request)
        if isinstance(execution, tuple):
            return execution
        report = request.json()
        for name in ("stdout", "stderr"):
            stream: Stream = getattr(execution, name)
            if stream.next_offset != report[f"{name}_bytes"]:
                expected = stream.next_offset
                return problem(409, "conflict", "output is missing", expected_offset=expected)
            if stream.omitted is None:
                said = report[f"{name}_sha256"]
                assert said in (None, hashlib.sha256(stream.data).hexdigest())
        execution.reports.append(report)
        execution.status = "done"
        return 200, execution.public()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # The kept connection is closed by tests, not by time; a read that hangs ends with the test.
    timeout = 2 * DEADLINE_SECONDS
    disable_nagle_algorithm = True
    fake: FakeServer

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def log_message(self, *_args: object) -> None:
        """Say nothing."""

    def _serve(self) -> None:
        parts = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        kind = self._kind(parts.path)
        fault = self.fake.take_fault(kind)
        if fault == DROP_BEFORE:
            self.close_connection = True
            return
        request = Request(kind, parts.path, dict(parse_qsl(parts.query)), headers, body)
        reply = self.fake.answer(request) if not isinstance(fault, tuple) else fault
        if fault == DROP_AFTER:
            self.close_connection = True
            return
        self._reply(*reply)

    def _kind(self, path: str) -> str:
        if path == BASE:
            return "create" if self.command == "POST" else "list"
        if path.startswith("/v1/cron-jobs/"):
            return path.rpartition("/")[2]
        rest = path[len(BASE) :].strip("/").split("/")
        return rest[0] if rest == ["claim"] else rest[1] if len(rest) > 1 else "get"

    def _reply(self, status: int, content: dict[str, Any] | bytes | None) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        if content is None:
            body = b""
        try:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        except OSError:
            self.close_connection = True  # the client cut it, as a stopped heartbeat does


@contextmanager
def serving(address: tuple[str, int] = ("127.0.0.1", 0)) -> Iterator[FakeServer]:
    """Run a fake server while the block runs."""

    class Handler(_Handler):
        pass

    server = ThreadingHTTPServer(address, Handler)
    server.daemon_threads = True
    server.block_on_close = False
    fake = FakeServer(f"http://127.0.0.1:{server.server_address[1]}")
    Handler.fake = fake
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield fake
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
