"""A receiver of webhooks, as somebody would write one who knows only the documents."""

import contextlib
import hashlib
import hmac
import json
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.support.calls import eventually


@dataclass(frozen=True)
class Received:
    """One request."""

    headers: dict[str, str]
    body: bytes

    @property
    def message(self) -> dict[str, Any]:
        """What it says."""
        return dict(json.loads(self.body))

    def is_signed_with(self, secret: str) -> bool:
        """Check the signature: HMAC (RFC 2104) spelled out, over the bytes that came."""
        parts = dict(part.split("=") for part in self.headers["cronledger-signature"].split(","))
        key = secret.encode().ljust(64, b"\0")
        said = parts["t"].encode() + b"." + self.body
        inner = hashlib.sha256(bytes(b ^ 0x36 for b in key) + said).digest()
        outer = hashlib.sha256(bytes(b ^ 0x5C for b in key) + inner).hexdigest()
        return hmac.compare_digest(outer, parts["v1"])


class Receiver:
    """Keeps what comes, and answers with the next of `answers`, or the last of them."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.answers = [200]
        self.headers: dict[str, str] = {}
        self.gate = threading.Event()
        self.gate.set()
        self.url = ""

    def about(self, job_id: str) -> list[Received]:
        """What came about one job."""
        return [r for r in self.received if (r.message["job"] or {}).get("id") == job_id]

    def until(self, job_id: str, *events: str) -> list[Received]:
        """Wait for messages about one job, and return them; there are no more by then."""

        def look() -> list[Received]:
            found = self.about(job_id)
            return found if len(found) >= len(events) else []

        found = eventually(look, f"{events} of {job_id}")
        assert sorted(one.message["event"] for one in found) == sorted(events)
        return found


@contextlib.contextmanager
def running_receiver(*, tls: Path | None = None) -> Iterator[Receiver]:
    """Run a receiver on a free port; over TLS with the certificate and key in the file `tls`."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            receiver.received.append(Received(headers, body))
            receiver.gate.wait(20)
            answers = receiver.answers
            with contextlib.suppress(OSError):
                self.send_response(answers.pop(0) if len(answers) > 1 else answers[0])
                for name, value in receiver.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"ok")

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if tls is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tls)
        # The handshake is for the thread of the connection, not for the one that accepts.
        server.socket = context.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
    scheme = "http" if tls is None else "https"
    receiver.url = f"{scheme}://127.0.0.1:{server.server_port}/hook"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        receiver.gate.set()
        server.shutdown()
        server.server_close()
