"""One request to a webhook: to an address that was looked at first, signed, and bounded.

A name is resolved once, every address that it has is judged, and the connection is made to one of
those very addresses, so that a name cannot lead elsewhere a moment later. Redirects are answers
like others and not followed. Standard library only.
"""

import base64
import contextlib
import hashlib
import hmac
import http.client
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Final, TypeAlias
from urllib.parse import unquote, urlsplit

from msgspec import Struct

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

CONNECT_SECONDS: Final = 5.0
WHOLE_SECONDS: Final = 10.0
ANSWER_BYTES: Final = 1000
_PORTS: Final = {"http": 80, "https": 443}
_SUCCESS: Final = range(200, 300)
# Addresses of IPv4 in those of IPv6 (RFC 6052): they lead to where the former do.
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")


class Refused(Exception):
    """The address may not be called; the sentence says why."""


class Result(Struct, frozen=True):
    """What came of a request: an answer, or the reason why there is none."""

    duration_ms: int
    status_code: int | None = None
    error: str | None = None
    answer: str | None = None

    @property
    def is_delivered(self) -> bool:
        """Tell whether the target has taken it."""
        return self.status_code in _SUCCESS


def signature(secret: str, timestamp: int, body: bytes) -> str:
    """Return the header Cronledger-Signature: HMAC-SHA256 over timestamp, a dot and the body."""
    said = str(timestamp).encode() + b"." + body
    return f"t={timestamp},v1={hmac.digest(secret.encode(), said, hashlib.sha256).hex()}"


def post(url: str, body: bytes, headers: Mapping[str, str], allowed: Sequence[Network]) -> Result:
    """Send `body`; never raises for what the target, its name or its network does."""
    began = time.monotonic()

    def result(**facts: str | int | None) -> Result:
        return Result(round((time.monotonic() - began) * 1000), **facts)  # type: ignore[arg-type]

    try:
        status, answer = _exchange(url, body, headers, allowed)
    except Refused as error:
        return result(error=str(error))
    except TimeoutError:
        return result(error="the target did not answer in time")
    except ssl.SSLCertVerificationError as error:
        return result(error=f"its certificate is not to be trusted: {error.verify_message}")
    except socket.gaierror as error:
        return result(error=f"its name cannot be resolved: {error.strerror}")
    except (OSError, http.client.HTTPException, ValueError) as error:
        return result(error=f"{type(error).__name__}: {str(error)[:200]}")
    return result(status_code=status, answer=answer)


def _exchange(
    url: str, body: bytes, headers: Mapping[str, str], allowed: Sequence[Network]
) -> tuple[int, str]:
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or _PORTS[parts.scheme]
    addresses = checked(host, port, allowed)
    if parts.username:
        said = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
        headers = {**headers, "Authorization": f"Basic {base64.b64encode(said).decode()}"}
    connection = _Connection(host, port, addresses, _tls() if parts.scheme == "https" else None)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    # Who sends a byte now and then keeps every single read in time: the whole has a limit too.
    watch = threading.Timer(WHOLE_SECONDS, connection.cut)
    watch.daemon = True
    watch.start()
    try:
        connection.request("POST", path, body, dict(headers))
        answered = connection.getresponse()
        answer = answered.read(ANSWER_BYTES).decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        if connection.is_cut:
            raise TimeoutError from error
        raise
    finally:
        watch.cancel()
        connection.close()
    return answered.status, "".join(c if c.isprintable() else " " for c in answer)


@cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()


def checked(host: str, port: int, allowed: Sequence[Network]) -> list[str]:
    """Return the addresses of `host`, all of which may be called. Raises `Refused`, OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys(str(where[0]) for *_, where in found))
    for address in addresses:
        if not is_allowed(address, allowed):
            raise Refused(
                f"{host} leads to {address}, which is not public; if it is meant, allow its network"
                " with CRONLEDGER_WEBHOOK_NETWORKS"
            )
    return addresses


def is_allowed(text: str, allowed: Sequence[Network]) -> bool:
    """Tell whether the IP address `text` may be called."""
    address: Address = ipaddress.ip_address(text.partition("%")[0])
    inner = _inner(address)
    if any(one in network for one in (address, inner) for network in allowed):
        return True
    return all(one.is_global and not one.is_multicast for one in (address, inner))


def _inner(address: Address) -> Address:
    """Return the IPv4 address that is reached through this one of IPv6, else itself."""
    if address.version == 4:  # noqa: PLR2004 - the name says it
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    teredo = address.teredo
    return address.ipv4_mapped or address.sixtofour or (teredo[1] if teredo else address)


class _Connection(http.client.HTTPConnection):
    """Connects to one of the given addresses; host name and certificate are those of the name."""

    def __init__(
        self, host: str, port: int, addresses: Sequence[str], tls: ssl.SSLContext | None
    ) -> None:
        if tls is not None:
            self.default_port = _PORTS["https"]
        super().__init__(host, port, timeout=CONNECT_SECONDS)
        self._addresses = addresses
        self._tls = tls
        self.is_cut = False

    def connect(self) -> None:
        """Connect to the first address that answers."""
        for number, address in enumerate(self._addresses, 1):
            try:
                plain = socket.create_connection((address, self.port), CONNECT_SECONDS)
                break
            except OSError:
                if number == len(self._addresses) or self.is_cut:
                    raise
        self.sock = plain
        if self._tls is not None:
            self.sock = self._tls.wrap_socket(plain, server_hostname=self.host)

    def cut(self) -> None:
        """End whatever is under way."""
        self.is_cut = True
        with contextlib.suppress(OSError, AttributeError):
            self.sock.shutdown(socket.SHUT_RDWR)
