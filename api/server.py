"""One server process: the embedded database, the HTTP server and, if asked for, a local agent."""

import asyncio
import gc
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, Final

import psycopg
import uvicorn

from api import bootstrap
from api.app import create_app, create_ledger
from api.bootstrap import Prepared
from api.pages import rendered, sign_in
from api.protocol import OneWriteProtocol
from api.settings import Settings
from projections import read_models
from store import sessions
from store.embedded import EmbeddedError, EmbeddedServer

SERVER_FILE: Final = "server.json"
_SHUTDOWN_SECONDS: Final = 8
_AGENT_SECONDS: Final = 15
_JOIN_SECONDS: Final = 2
_NOT_AUTHORISED_EXIT: Final = 4
_AGENT_PAUSE_SECONDS: Final = 1.0
_AGENT_PAUSE_SECONDS_MAX: Final = 60.0
# Where a server that listens on every address can be reached from its own machine.
_LOOPBACK_OF: Final = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 - not bound here

_log = logging.getLogger(__name__)


def serve(
    settings: Settings,
    prepared: Prepared,
    postgres: EmbeddedServer | None,
    *,
    with_agent: bool,
    drain_seconds: int,
    sign_in_link: bool,
) -> int:
    """Serve a database that is ready, until a signal; return the exit code.

    With `sign_in_link` a link that signs in a browser, once, is said to who started it.
    """
    read_models.check(prepared.conninfo)
    if prepared.made_admin_token:
        path = settings.home / bootstrap.ADMIN_TOKEN
        _say(f"made an admin token in {path}; client commands on this machine find it")
    companions = _Companions(settings, postgres, with_agent=with_agent, drain_seconds=drain_seconds)
    if sign_in_link:
        companions.greeting = lambda url: _say_link(settings, prepared, url)
    server = _server(settings, prepared, companions)
    try:
        server.run()
    finally:
        companions.stop()
    return 0 if server.started else 1


def _say_link(settings: Settings, prepared: Prepared, url: str) -> None:
    """Say a link that signs in with this home's admin token; nothing if there is none."""
    try:
        token = (settings.home / bootstrap.ADMIN_TOKEN).read_text().strip()
        path = sign_in.link(prepared.conninfo, token)
    except (OSError, psycopg.Error):
        return
    if path is not None:
        minutes = sessions.LINK_MINUTES
        _say(f"open {url}{path} in a browser (good once, for {minutes} minutes)")


def _server(settings: Settings, prepared: Prepared, companions: "_Companions") -> "Server":
    ledger = create_ledger(settings, prepared.conninfo, prepared.ledger_id, prepared.keys)
    config = uvicorn.Config(
        create_app(ledger, prepared.conninfo),
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http=OneWriteProtocol,
        ws="none",
        lifespan="on",
        interface="asgi3",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=settings.behind_tls_proxy,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
        backlog=1024,
        ssl_certfile=settings.tls_certificate,
        ssl_keyfile=settings.tls_key,
    )
    return Server(config, companions, end_waits=ledger.waiting.stop)


class Server(uvicorn.Server):
    """uvicorn, which tells when it answers, and stops in our order."""

    def __init__(
        self, config: uvicorn.Config, companions: "_Companions", *, end_waits: Callable[[], None]
    ) -> None:
        super().__init__(config)
        self._companions = companions
        self._end_waits = end_waits

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and say so once requests are answered."""
        await super().startup(sockets)
        _settle()
        if self.started and not self.should_exit:
            self._companions.start(self._url())

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop: the local agent first, while there is still a server that takes its reports.

        Long polls end before that: the agent waits for its own, and uvicorn for all of them.
        """
        self._end_waits()
        await asyncio.to_thread(self._companions.stop)
        await super().shutdown(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - uvicorn's
        """Ask for the stop; asked again, hurry.

        Not uvicorn's own: that one ends the process by the same signal after its shutdown, before
        we could end the database.
        """
        if self.should_exit:
            self._companions.hurry()
        self.should_exit = True

    def _url(self) -> str:
        scheme = "https" if self.config.is_ssl else "http"
        port = self.servers[0].sockets[0].getsockname()[1]
        return f"{scheme}://{_reachable(self.config.host)}:{port}"


def _settle() -> None:
    """Let the garbage collector pass by what was loaded, and begin to look at what comes.

    What is loaded by now stays; requests make no cycles. Looking through all of it for garbage
    every few hundred objects costs a twentieth of the server's time; now, or while it was loaded
    (cli/serve.py), it would cost a fifth of the start and find some hundred objects.
    """
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
    gc.enable()


def _reachable(host: str) -> str:
    """Return the host part of the address for clients on this machine."""
    address = _LOOPBACK_OF.get(host, host)
    return f"[{address}]" if ":" in address else address


class _Companions:
    """What lives beside the HTTP server: the watch over the database, and the local agent."""

    def __init__(
        self,
        settings: Settings,
        postgres: EmbeddedServer | None,
        *,
        with_agent: bool,
        drain_seconds: int,
    ) -> None:
        self._settings = settings
        self._postgres = postgres
        self._with_agent = with_agent
        self._drain_seconds = drain_seconds
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._agent: subprocess.Popen[bytes] | None = None
        self._file = settings.home / SERVER_FILE
        self.greeting: Callable[[str], None] | None = None

    def start(self, url: str) -> None:
        """Begin, now that requests are answered at `url`."""
        new = self._file.with_suffix(".new")
        new.write_text(json.dumps({"url": url, "pid": os.getpid()}))
        new.replace(self._file)
        self._thread(self._watch_database)
        if self._with_agent:
            self._thread(lambda: self._keep_agent(url))
        print(f"ready {url}", flush=True)  # noqa: T201 - what starters of a server wait for
        if (greeting := self.greeting) is not None:
            self._thread(lambda: greeting(url))
        self._thread(rendered.prepare)

    def stop(self) -> None:
        """End the agent first, while there is still a server that takes its reports.

        Bounded: a database that does not come up again, say, must not hold up the server's end.
        """
        self._stopping.set()
        deadline = time.monotonic() + _JOIN_SECONDS
        if self._agent is not None:
            deadline += _AGENT_SECONDS + self._drain_seconds
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        self._threads.clear()
        self._file.unlink(missing_ok=True)

    def hurry(self) -> None:
        """Let the agent end what it runs at once. Called in a signal handler."""
        if self._agent is not None and self._stopping.is_set():
            self._agent.send_signal(signal.SIGTERM)

    def _thread(self, target: Callable[[], None]) -> None:
        thread = threading.Thread(target=target, daemon=True)
        thread.start()
        self._threads.append(thread)

    def _watch_database(self) -> None:
        while self._postgres is not None and not self._stopping.wait(0.5):
            try:
                if self._postgres.ensure_running():
                    _say("the embedded PostgreSQL had died and was started again")
            except EmbeddedError as error:
                _log.error("the embedded PostgreSQL cannot be started again: %s", error)
            except Exception:  # noqa: BLE001 - see below
                # Whatever it was, the database is to be watched as long as the server runs.
                _log.exception("the watch over the embedded PostgreSQL failed and goes on")

    def _keep_agent(self, url: str) -> None:
        """Run the local agent, again and again, until the server stops."""
        pause = 0.0
        while not self._stopping.wait(pause):
            try:
                code = self._run_agent(url)
            except OSError as error:
                ended, code = f"cannot be started ({error})", None
            else:
                ended = f"ended with code {code}"
            pause = _pause_after(code, pause)
            if not self._stopping.is_set():
                _say(f"the local agent {ended}; it is started again in {pause:.0f} s")

    def _run_agent(self, url: str) -> int:
        """Run it as a process of its own, which ends when its stdin does; return its exit code."""
        agent = subprocess.Popen(  # noqa: S603 - ourselves
            [
                *(sys.executable, "-m", "cli.main", "agent", "--exit-with-parent"),
                *("--agent-id", bootstrap.local_agent_id(), "--drain", str(self._drain_seconds)),
            ],
            stdin=subprocess.PIPE,
            stdout=sys.stderr,
            start_new_session=True,
            env=_agent_environment(url, self._settings.home),
        )
        self._agent = agent
        while agent.poll() is None and not self._stopping.wait(0.2):
            pass
        if agent.stdin is not None:
            agent.stdin.close()
        try:
            return agent.wait(_AGENT_SECONDS + self._drain_seconds)
        except subprocess.TimeoutExpired:
            agent.kill()
            return agent.wait()


def _pause_after(code: int | None, before: float) -> float:
    """Return the seconds until the agent's next start, after `before` seconds the last time.

    `code` is its exit code, None if it was not started. What a start alone does not put right is
    tried ever more seldom.
    """
    if code is None or code == _NOT_AUTHORISED_EXIT:
        return min(_AGENT_PAUSE_SECONDS_MAX, max(_AGENT_PAUSE_SECONDS, 2 * before))
    return _AGENT_PAUSE_SECONDS


def _agent_environment(url: str, home: Path) -> dict[str, str]:
    token = (home / bootstrap.AGENT_TOKEN).read_text().strip()
    inherited: dict[str, Any] = {
        name: value for name, value in os.environ.items() if not name.startswith("CRONLEDGER_")
    }
    return {
        **inherited,
        "CRONLEDGER_URL": url,
        "CRONLEDGER_TOKEN": token,
        "CRONLEDGER_HOME": str(home),
    }


def _say(sentence: str) -> None:
    print(f"cronledger: {sentence}", file=sys.stderr, flush=True)  # noqa: T201 - a server's own words
