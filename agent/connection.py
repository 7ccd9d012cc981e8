"""HTTP/1.1 on a socket, as much of it as a client of Cronledger needs.

The standard library's `http.client` takes longer to import than `exec` may take as a whole. What
is understood here is strict and bounded: an answer that is not HTTP, whatever it is, ends in
NotHttp, and one that breaks off in Cut.
"""

from __future__ import annotations

import sys
import time

from agent.bare import socket

TYPE_CHECKING = False  # `exec` waits for no module that it can do without
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

HEAD_BYTES_MAX = 64 * 1024
HEADERS_MAX = 200
BODY_BYTES_MAX = 1024 * 1024 * 1024
LINE_BYTES_MAX = 64 * 1024 * 1024
_INTERIM_MAX = 20
_READ_BYTES = 64 * 1024
_ONE_WRITE_BYTES = 16 * 1024
_SIZE_DIGITS_MAX = 15
_PORT_MAX = 65535
_SWITCHING = 101
_FINAL = 200
_WITHOUT_BODY = frozenset({204, 304})
_HEX = frozenset(b"0123456789abcdefABCDEF")
_HTTPS = "https"
_PORTS = {"http": 80, _HTTPS: 443}


class InvalidUrlError(ValueError):
    """The server's address is not an http or https URL."""


class NotHttp(Exception):
    """What came is not an answer that can be understood, or more than one may be."""


class Cut(NotHttp):
    """The answer broke off."""


class ClosedUnanswered(ConnectionResetError):
    """The connection was closed before any byte of an answer came."""


class CannotSend(Exception):
    """A part of the request would change the meaning of the rest: nothing was sent."""


class Address:
    """Where a server is.

    Attributes:
        secure: It is reached with TLS.
        host: Its name or number, without brackets.
        port: Its port.
        prefix: What all paths begin with.
        authority: Host and port as the header `Host` has them.
    """

    def __init__(self, url: str) -> None:
        """Take a URL apart. Raises InvalidUrlError."""
        scheme, mark, rest = url.partition("://")
        scheme = scheme.lower()
        if not mark or scheme not in _PORTS or not rest.isprintable() or " " in rest:
            raise _invalid(url)
        rest = rest.partition("#")[0].partition("?")[0]
        authority, slash, path = rest.partition("/")
        host, port = _host_and_port(url, authority.rpartition("@")[2])
        self.secure = scheme == _HTTPS
        self.host = host
        self.port = port or _PORTS[scheme]
        self.prefix = slash + path
        if not self.prefix.isascii():
            raise _invalid(url)
        shown = f"[{host}]" if ":" in host else host
        self.authority = shown if self.port == _PORTS[scheme] else f"{shown}:{self.port}"


def _host_and_port(url: str, authority: str) -> tuple[str, int]:
    if authority.startswith("["):
        host, bracket, rest = authority[1:].partition("]")
        if not bracket or ":" not in host or rest[:1] not in {"", ":"}:
            raise _invalid(url)
        port = rest[1:]
    else:
        host, _, port = authority.partition(":")
    if port and not (port.isascii() and port.isdecimal() and int(port[:6]) <= _PORT_MAX):
        raise InvalidUrlError(f"{url!r} is no server address: {port!r} is no port")
    try:
        # A name of plain letters is not looked up in the tables of the others: they are large.
        host = host.lower() if host.isascii() else host.encode("idna").decode()
    except UnicodeError as error:
        raise _invalid(url) from error
    if not host or any(len(label) > 63 for label in host.split(".")):  # noqa: PLR2004 - DNS's
        raise _invalid(url)
    return host, int(port or 0)


def _invalid(url: str) -> InvalidUrlError:
    return InvalidUrlError(
        f"{url!r} is no server address: it must look like http://HOST:PORT or https://HOST"
    )


class Headers:
    """The header of an answer; names in any case, and of a repeated one the first."""

    def __init__(self) -> None:
        self._values: dict[str, str] = {}

    def add(self, line: bytes) -> None:
        """Take one line. Raises NotHttp."""
        name, colon, value = line.decode("latin-1").partition(":")
        name = name.lower()
        if not colon or not name or name != name.strip() or len(self._values) >= HEADERS_MAX:
            raise NotHttp("its header cannot be read")
        value = value.strip()
        if self._values.setdefault(name, value) != value and name == "content-length":
            raise NotHttp("it has two lengths")

    def get(self, name: str, default: str | None = None) -> str | None:
        """Return the value of a name."""
        return self._values.get(name.lower(), default)

    def words(self, name: str) -> list[str]:
        """Return what a value lists, in small letters."""
        return [word.strip() for word in self._values.get(name.lower(), "").lower().split(",")]

    @property
    def media_type(self) -> str:
        """The type of the body, without parameters."""
        return self._values.get("content-type", "").partition(";")[0].strip().lower()


class Response:
    """An answer whose header has come; its body is read from the connection."""

    def __init__(self, status: int, headers: Headers, body: Iterator[bytes], *, last: bool) -> None:
        self.status = status
        self.headers = headers
        self._body = body
        self._last = last

    @property
    def closes(self) -> bool:
        """True if no other answer can come over this connection."""
        return self._last

    def read(self) -> bytes:
        """Return the whole body. Raises OSError, NotHttp."""
        pieces, total = [], 0
        for piece in self._body:
            total += len(piece)
            if total > BODY_BYTES_MAX:
                raise NotHttp("it is longer than any answer")
            pieces.append(piece)
        return b"".join(pieces)

    def lines(self) -> Iterator[bytes]:
        """Yield the body's lines as they come. Raises OSError, NotHttp."""
        begun: list[bytes] = []
        length = 0
        for piece in self._body:
            *whole, rest = piece.split(b"\n")
            for line in whole:
                yield b"".join([*begun, line, b"\n"])
                begun, length = [], 0
            length += len(rest)
            if length > LINE_BYTES_MAX:
                raise NotHttp("a line of it is longer than any")
            if rest:
                begun.append(rest)
        if begun:
            yield b"".join(begun)


class Connection:
    """One connection to a server; one request at a time."""

    def __init__(self, address: Address, connect_seconds: float) -> None:
        """Connect. Raises OSError."""
        self._address = address
        self._buffer = bytearray()
        self.sock = _connected(address, connect_seconds)

    def close(self) -> None:
        """Close it."""
        self.sock.close()

    def send(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes | None = None
    ) -> None:
        """Send a request. Raises OSError, and CannotSend before anything is sent."""
        lines = [
            f"{method} {_target(target)} HTTP/1.1",
            f"Host: {self._address.authority}",
            "Accept-Encoding: identity",
            *(f"{name}: {_value(name, value)}" for name, value in headers.items()),
        ]
        if body is not None or method != "GET":
            lines.append(f"Content-Length: {len(body or b'')}")
        head = "\r\n".join([*lines, "", ""]).encode("latin-1")
        if body and len(body) <= _ONE_WRITE_BYTES:
            head, body = head + body, None
        self.sock.sendall(head)
        if body:
            self.sock.sendall(body)

    def response(self, seconds: float) -> Response:
        """Return the answer, of which the header has to come in this time. Raises OSError, NotHttp.

        What precedes the answer itself (100 Continue and the like) is passed over.
        """
        deadline = time.monotonic() + seconds
        for _ in range(_INTERIM_MAX):
            version, status, headers = self._head(deadline)
            if status == _SWITCHING:
                break
            if status >= _FINAL:
                self.sock.settimeout(seconds)
                return self._response(version, status, headers)
        raise NotHttp("it does not come to its answer")

    def _response(self, version: bytes, status: int, headers: Headers) -> Response:
        connection = headers.words("Connection")
        last = "close" in connection or (version == b"1.0" and "keep-alive" not in connection)
        length = headers.get("Content-Length")
        encoding = headers.get("Transfer-Encoding")
        if status in _WITHOUT_BODY:
            body = self._counted(0)
        elif encoding is not None:
            if encoding.lower() != "chunked":
                raise NotHttp("it is encoded in a way that was not asked for")
            body = self._chunked()
        elif length is not None:
            if not _is_size(length):
                raise NotHttp("its length is none")
            body = self._counted(int(length))
        else:
            body, last = self._to_the_end(), True
        return Response(status, headers, body, last=last)

    @property
    def is_clean(self) -> bool:
        """True if nothing has come that belongs to no answer."""
        return not self._buffer

    def _head(self, deadline: float) -> tuple[bytes, int, Headers]:
        words = self._line(deadline).split(b" ", 2)
        version = words[0][5:]
        if words[0][:5] != b"HTTP/" or version not in {b"1.0", b"1.1"} or len(words) == 1:
            raise NotHttp("it is not HTTP")
        if len(words[1]) != 3 or not words[1].isdigit() or words[1] < b"100":  # noqa: PLR2004
            raise NotHttp("its status is none")
        headers, total = Headers(), 0
        while line := self._line(deadline):
            total += len(line)
            if total > HEAD_BYTES_MAX:
                raise NotHttp("its header is longer than any")
            headers.add(line)
        return version, int(words[1]), headers

    def _counted(self, count: int) -> Iterator[bytes]:
        while count > 0:
            if not self._buffer:
                self._fill()
            piece = bytes(self._buffer[:count])
            del self._buffer[: len(piece)]
            count -= len(piece)
            yield piece

    def _chunked(self) -> Iterator[bytes]:
        while True:
            size = self._line().partition(b";")[0].strip()
            if not 0 < len(size) <= _SIZE_DIGITS_MAX or not _HEX.issuperset(size):
                raise NotHttp("the size of a part is none")
            count = int(size, 16)
            if count == 0:
                break
            yield from self._counted(count)
            if self._line():
                raise NotHttp("a part is longer than it said")
        for _ in range(HEADERS_MAX):
            if not self._line():
                return
        raise NotHttp("it does not come to its end")

    def _to_the_end(self) -> Iterator[bytes]:
        while True:
            if self._buffer:
                piece = bytes(self._buffer)
                self._buffer.clear()
                yield piece
            if not self._receive():
                return

    def _line(self, deadline: float | None = None) -> bytes:
        seen = 0
        while (end := self._buffer.find(b"\n", seen)) < 0:
            seen = len(self._buffer)
            if seen > HEAD_BYTES_MAX:
                raise NotHttp("a line of it is longer than any")
            self._fill(deadline)
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return line[:-1] if line.endswith(b"\r") else line

    def _fill(self, deadline: float | None = None) -> None:
        if deadline is not None:
            left = deadline - time.monotonic()
            if left <= 0:
                raise socket.timeout("timed out")
            self.sock.settimeout(left)
        is_first = deadline is not None and not self._buffer
        if not self._receive():
            raise ClosedUnanswered if is_first else Cut("it broke off")

    def _receive(self) -> bool:
        data = self.sock.recv(_READ_BYTES)
        self._buffer += data
        return bool(data)


def is_hangup(error: Exception) -> bool:
    """True if the other side has closed the connection, as it may with one that is kept."""
    ssl = sys.modules.get("ssl")  # if it was not imported, it has raised nothing
    return isinstance(error, ConnectionError) or (
        ssl is not None and isinstance(error, ssl.SSLEOFError)
    )


def _connected(address: Address, seconds: float) -> socket.socket:
    sock = _dialed(address, seconds)
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if not address.secure:
            return sock
        import ssl  # noqa: PLC0415 - takes long, and most servers are next door

        context = ssl.create_default_context()
        return context.wrap_socket(sock, server_hostname=address.host)
    except BaseException:
        sock.close()
        raise


def _dialed(address: Address, seconds: float) -> socket.socket:
    """Return a connection to the first of a name's places that answers."""
    problem = OSError("its name stands for no place")
    # As bytes: for text the tables of foreign letters are imported.
    places = socket.getaddrinfo(address.host.encode("ascii"), address.port, type=socket.SOCK_STREAM)
    for family, kind, protocol, _, place in places:
        sock = None
        try:
            sock = socket.socket(family, kind, protocol)  # not every kernel has each family
            sock.settimeout(seconds)
            sock.connect(place)
        except OSError as error:
            if sock is not None:
                sock.close()
            problem = error
        else:
            return sock
    raise problem


def _is_size(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= _SIZE_DIGITS_MAX


def _target(text: str) -> str:
    if not (text.isascii() and text.isprintable()) or " " in text:
        raise CannotSend("its address holds what none may hold")
    return text


def _value(name: str, text: str) -> str:
    if not (text.isascii() and text.isprintable()):
        raise CannotSend(f"its {name} holds what no header may hold")
    return text
