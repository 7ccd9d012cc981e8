"""One request to a webhook: where it may go, what bounds it, how it is signed."""

import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from api import webhook_call
from api.webhook_call import is_allowed, post, signature
from store.deliveries import wait_seconds
from tests.support.receiver import Received, running_receiver

HERE = [ipaddress.ip_network("127.0.0.1/32")]


@pytest.mark.parametrize(
    ("address", "allowed"),
    [
        *((public, True) for public in ("8.8.8.8", "2001:4860:4860::8888")),
        *((private, False) for private in ("127.0.0.1", "10.1.2.3", "192.168.0.1", "172.16.0.1")),
        *(
            (special, False)
            for special in ("169.254.169.254", "0.0.0.0", "100.64.0.1", "224.0.0.1")
        ),
        *((six, False) for six in ("::1", "::", "fe80::1%eth0", "fc00::1", "ff02::1")),
        *((mapped, False) for mapped in ("::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::")),
    ],
)
def test_only_public_addresses_are_called(address: str, allowed: bool) -> None:  # noqa: FBT001
    """Loopback, private, link-local, multicast and shared ones are not, also inside IPv6."""
    assert is_allowed(address, []) is allowed
    everything = [ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0")]
    assert is_allowed(address, everything)


def test_a_name_that_leads_to_this_machine_is_not_called() -> None:
    """A name is judged by every address that it has."""
    result = post("http://localhost:9/", b"{}", {}, [])
    assert result.status_code is None
    assert result.error is not None
    assert "not public" in result.error


@pytest.fixture
def leading_here(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of example hosts lead to this machine; the fixture says which were asked for."""
    asked: list[str] = []
    real = socket.getaddrinfo

    def resolve(host: str, port: int, *rest: Any, **named: Any) -> list[Any]:
        if not host.endswith(".example"):
            return list(real(host, port, *rest, **named))
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    return asked


def test_the_address_that_was_judged_is_the_one_that_is_called(leading_here: list[str]) -> None:
    """A name that leads elsewhere a moment later leads nowhere else: it is resolved once."""
    with running_receiver() as receiver:
        url = receiver.url.replace("127.0.0.1", "hooks.example")
        assert post(url, b"{}", {}, HERE).is_delivered
        (received,) = receiver.received
    assert leading_here == ["hooks.example"]
    assert received.headers["host"] == url.split("/")[2]


def certificate(host: str, folder: Path) -> Path:
    """Make a certificate for `host` that vouches for itself, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    form = (Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file = folder / "certificate.pem"
    file.write_bytes(key.private_bytes(*form) + made.public_bytes(Encoding.PEM))
    return file


@pytest.mark.usefixtures("leading_here")
def test_a_certificate_must_be_trusted_and_of_that_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who is called by address is still known by name: another's certificate does not do."""
    file = certificate("hooks.example", tmp_path)
    with running_receiver(tls=file) as receiver:
        url = receiver.url.replace("127.0.0.1", "hooks.example")
        unknown = post(url, b"{}", {}, HERE)
        trusting = ssl.create_default_context(cafile=str(file))
        monkeypatch.setattr(webhook_call, "_tls", lambda: trusting)
        other = post(url.replace("hooks.", "other."), b"{}", {}, HERE)
        for result in (unknown, other):
            assert result.status_code is None
            assert "certificate" in (result.error or "")
        assert receiver.received == []
        assert post(url, b"{}", {}, HERE).is_delivered


def serve_once(answer: Callable[[socket.socket], None]) -> str:
    """Take one connection and treat it so; return where."""
    listener = socket.create_server(("127.0.0.1", 0))

    def work() -> None:
        with listener, listener.accept()[0] as connection:
            connection.recv(65536)
            try:
                answer(connection)
            except OSError:
                return

    threading.Thread(target=work, daemon=True).start()
    return f"http://127.0.0.1:{listener.getsockname()[1]}/"


def test_a_target_that_never_ends_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """One byte now and then does not hold us, nor does an answer without end."""
    monkeypatch.setattr(webhook_call, "WHOLE_SECONDS", 0.3)

    def drip(connection: socket.socket) -> None:
        gap = threading.Event()
        while not gap.wait(0.05):
            connection.sendall(b"H")

    result = post(serve_once(drip), b"{}", {}, HERE)
    assert result.error == "the target did not answer in time"
    assert result.duration_ms < 3000

    def flood(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            connection.sendall(b"x" * 65536)

    result = post(serve_once(flood), b"{}", {}, HERE)
    assert (result.status_code, result.answer) == (200, "x" * webhook_call.ANSWER_BYTES)


@pytest.mark.parametrize("url", ["https://127.0.0.1:9/", "http://no-such-name.invalid/"])
def test_whatever_goes_wrong_is_a_sentence(url: str) -> None:
    """A refused connection, a name that is none."""
    result = post(url, b"{}", {}, HERE)
    assert result.status_code is None
    assert result.error
    assert not result.is_delivered


@given(st.binary(max_size=200), st.integers(0, 2**33), st.text("abc_-XYZ09", min_size=1))
def test_the_signature_covers_time_and_body(body: bytes, at: int, secret: str) -> None:
    """It is HMAC-SHA256 as RFC 2104 spells it, under the secret as it was shown."""
    header = signature(secret, at, body)
    headers = {"cronledger-signature": header}
    assert header.startswith(f"t={at},v1=")
    assert Received(headers, body).is_signed_with(secret)
    assert not Received(headers, body + b"x").is_signed_with(secret)
    assert not Received(headers, body).is_signed_with(secret + "x")


@given(st.integers(1, 1000), st.floats(0, 1), st.floats(0, 1))
def test_waits_between_attempts_double_up_to_an_hour(n: int, one: float, other: float) -> None:
    """Never more than an hour nor less than three quarters of what it could be; never shrinking."""
    longest = min(3600.0, 5 * 2.0 ** min(n - 1, 30))
    assert longest * 0.75 <= wait_seconds(n, one) <= longest
    assert wait_seconds(n, one) <= wait_seconds(n + 1, other) / 0.75 + 1e-6
