"""The HTTP client that the agent and the commands share.

One object is one kept connection. Every POST of the contract may be repeated (claim ids, offsets,
idempotency keys, equal reports): that is what allows this client to ask again when a kept
connection proves stale.
"""

from __future__ import annotations

from agent import threads
from agent.bare import socket, suppress
from agent.connection import (
    Address,
    CannotSend,
    ClosedUnanswered,
    Connection,
    Cut,
    Headers,
    InvalidUrlError,
    NotHttp,
    is_hangup,
)
from agent.json_text import dumps, loads
from agent.record import Record

TYPE_CHECKING = False  # `exec` waits for no module that it can do without
if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence
    from typing import Any

__all__ = [
    "ANSWER_SECONDS",
    "Answer",
    "Client",
    "InvalidUrlError",
    "NotCronledger",
    "Problem",
    "Unreachable",
]

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 30.0
_TOO_MANY_REQUESTS = 429
_REQUEST_TIMEOUT = 408
_SERVER_ERROR = 500
_TOO_LARGE = 413
_FOREIGN = "http_"  # the code of an answer that is not in Cronledger's form
_SUCCESS = range(200, 300)


class Unreachable(Exception):
    """No answer came: refused, timed out, cut, or not Cronledger that answered.

    Attributes:
        sent: True if the request may have been carried out all the same.
        cut: True if it was we who cut it, by `abort`.
    """

    def __init__(self, sentence: str, *, sent: bool = False, cut: bool = False) -> None:
        super().__init__(sentence)
        self.sent = sent
        self.cut = cut


class NotCronledger(Unreachable):
    """Something answered, but not as Cronledger does: the address is probably wrong."""


class Problem(Exception):
    """The server refused, and said why.

    Attributes:
        status: The HTTP status.
        code: The machine-readable name, such as `conflict` or `lease_lost`.
        detail: The sentence for people.
        members: The whole problem document (empty if the answer was none).
        retry_after: Seconds the server asks to wait, if it said so.
    """

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        members: Mapping[str, Any],
        retry_after: float | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.members = members
        self.retry_after = retry_after

    @property
    def passing(self) -> bool:
        """True if the same request may succeed later: the server is busy, stopping or broken.

        Or it was not the server that answered, but something in its place.
        """
        if self.code == f"{_FOREIGN}{self.status}" and self.status != _TOO_LARGE:
            return True
        return self.status >= _SERVER_ERROR or self.status in {
            _TOO_MANY_REQUESTS,
            _REQUEST_TIMEOUT,
        }

    @property
    def fields(self) -> list[str]:
        """Which members of our request are wrong."""
        error = self.members.get("error")
        details = error.get("details") if isinstance(error, dict) else None
        listed = details if isinstance(details, list) else []
        return [str(detail.get("field")) for detail in listed if isinstance(detail, dict)]

    @property
    def expected_offset(self) -> int | None:
        """The offset at which the server wants the output to go on, if this is about a gap."""
        value = self.members.get("expected_offset")
        return value if isinstance(value, int) else None


class Answer(Record):
    """A successful answer, its body as it came."""

    status: int
    headers: Headers
    body: bytes

    def json(self) -> Any:
        """Decode the body; raises NotCronledger if it is no JSON."""
        try:
            return loads(self.body)
        except (ValueError, RecursionError) as error:
            raise NotCronledger(
                "the answer is not JSON: is this the address of a Cronledger server?", sent=True
            ) from error


class _Request(Record):
    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes | None
    answer_seconds: float


class Client:
    """Requests to one server with one token over one kept connection.

    Safe to share between threads (requests queue behind each other); a thread that long-polls
    wants its own: see `sibling`.
    """

    def __init__(
        self,
        url: str,
        token: str,
        *,
        connect_seconds: float = CONNECT_SECONDS,
        answer_seconds: float = ANSWER_SECONDS,
    ) -> None:
        self.url = url.rstrip("/")
        self._token = token
        self._connect_seconds = connect_seconds
        self._answer_seconds = answer_seconds
        self._address = Address(self.url)
        self._lock = threads.Lock()
        self._connection: Connection | None = None
        self._aborted = False

    def sibling(self) -> Client:
        """Return another client for the same server and token, with a connection of its own."""
        return Client(
            self.url,
            self._token,
            connect_seconds=self._connect_seconds,
            answer_seconds=self._answer_seconds,
        )

    def get(self, path: str, query: Sequence[tuple[str, str]] = ()) -> Answer:
        """GET a path; raises Problem or Unreachable."""
        return self.request("GET", path, query=query)

    def post(
        self,
        path: str,
        payload: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        answer_seconds: float | None = None,
    ) -> Answer:
        """POST a JSON body; raises Problem or Unreachable. `answer_seconds` is for long polls."""
        return self.request(
            "POST",
            path,
            headers={"Content-Type": "application/json", **(headers or {})},
            body=dumps({} if payload is None else payload).encode(),
            answer_seconds=answer_seconds,
        )

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Sequence[tuple[str, str]] = (),
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        answer_seconds: float | None = None,
    ) -> Answer:
        """Send one request and read its whole answer.

        Raises:
            Problem: The answer is not a success.
            Unreachable: There is no (whole) answer.
        """
        target = self._target(path, query)
        sent_headers = {"Authorization": f"Bearer {self._token}", **(headers or {})}
        patience = self._answer_seconds if answer_seconds is None else answer_seconds
        with self._lock:
            answer = self._exchange(_Request(method, target, sent_headers, body, patience))
        if answer.status in _SUCCESS:
            return answer
        raise _problem(answer)

    def lines(
        self,
        path: str,
        query: Sequence[tuple[str, str]],
        headers: Mapping[str, str],
        media_type: str,
    ) -> Generator[bytes, None, None]:
        """GET a path over a connection of its own, and yield the answer's lines as they come.

        They end with the answer, or where its connection does. Raises Problem or Unreachable, also
        when nothing comes for `answer_seconds`.
        """
        target = self._target(path, query)
        connection: Connection | None = None
        try:
            connection = self._connect()
            connection.sock.settimeout(self._answer_seconds)
            sent_headers = {"Authorization": f"Bearer {self._token}", **headers}
            connection.send("GET", target, sent_headers)
            response = connection.response(self._answer_seconds)
            if response.status not in _SUCCESS:
                raise _problem(Answer(response.status, response.headers, response.read()))
            if response.headers.media_type != media_type:
                raise Unreachable(
                    f"the answer is not {media_type}: is this the address of a Cronledger server?"
                )
            with suppress(Cut):
                yield from response.lines()
        except (OSError, NotHttp, CannotSend) as error:
            raise Unreachable(self._sentence(error), sent=True) from error
        finally:
            if connection is not None:
                connection.close()

    def abort(self) -> None:
        """Cut the request another thread waits for, and all later ones: they raise Unreachable."""
        self._aborted = True
        connection = self._connection
        sock = None if connection is None else connection.sock
        if sock is not None:
            # The plain method, on a TLS socket too: its own changes state under the reader.
            # An error means that it was closed meanwhile, which is as good.
            with suppress(OSError):
                socket.socket.shutdown(sock, socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the kept connection; the next request opens another."""
        with self._lock:
            self._drop()

    def _exchange(self, request: _Request) -> Answer:
        kept = self._connection is not None
        sent = False
        while True:
            if self._aborted:
                raise Unreachable("the request was given up", sent=sent, cut=True)
            try:
                if self._connection is None:
                    self._connection = self._connect()
                sent = True
                return self._send(self._connection, request)
            except CannotSend as error:
                raise Unreachable(self._sentence(error)) from error
            except (OSError, NotHttp) as error:
                self._drop()
                if not (kept and is_hangup(error)):
                    sentence = self._sentence(error)
                    raise Unreachable(sentence, sent=sent, cut=self._aborted) from error
                # The server closed the kept connection while it was idle: once more on a new one.
                kept = False

    def _send(self, connection: Connection, request: _Request) -> Answer:
        connection.sock.settimeout(request.answer_seconds)
        connection.send(request.method, request.target, request.headers, request.body)
        response = connection.response(request.answer_seconds)
        content = response.read()
        if response.closes or not connection.is_clean:
            self._drop()
        return Answer(response.status, response.headers, content)

    def _connect(self) -> Connection:
        connection = Connection(self._address, self._connect_seconds)
        if self._aborted:  # while we connected, when there was nothing to cut yet
            connection.close()
            raise Unreachable("the request was given up", cut=True)
        return connection

    def _target(self, path: str, query: Sequence[tuple[str, str]]) -> str:
        target = self._address.prefix + path
        if not query:
            return target
        from urllib.parse import urlencode  # noqa: PLC0415 - the shortest run of `exec` has none

        return f"{target}?{urlencode(query)}"

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _sentence(self, error: Exception) -> str:
        if isinstance(error, (TimeoutError, socket.timeout)):
            reason = "no answer in time"
        elif isinstance(error, ClosedUnanswered):
            reason = "the connection was closed without an answer"
        elif isinstance(error, NotHttp):
            reason = f"what answers cannot be understood: {error}"
        elif isinstance(error, CannotSend):
            reason = f"the request cannot be sent: {error}"
        elif isinstance(error, OSError) and error.strerror:
            reason = error.strerror
        else:
            reason = str(error) or type(error).__name__
        return f"{self.url} cannot be reached: {reason}"


def _problem(answer: Answer) -> Problem:
    try:
        document = loads(answer.body)
    except (ValueError, RecursionError):
        document = None
    members = document if isinstance(document, dict) else {}
    error = members.get("error")
    code = error.get("code") if isinstance(error, dict) else None
    detail = members.get("detail") or members.get("title")
    return Problem(
        answer.status,
        code if isinstance(code, str) else f"{_FOREIGN}{answer.status}",
        detail if isinstance(detail, str) else f"the server answered with status {answer.status}",
        members,
        _seconds(answer.headers.get("Retry-After")),
    )


def _seconds(value: str | None) -> float | None:
    # The date form of Retry-After needs the two clocks to agree; we never send it and ignore it.
    return float(value) if value is not None and value.isdecimal() else None
