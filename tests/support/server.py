"""The real server as a process, with a home of its own."""

import contextlib
import fcntl
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.support.calls import Api, eventually
from tests.support.embedded import PROGRAMS, PROGRAMS_SETTING, REPOSITORY, open_folder
from tests.support.postgres import copy_home

READY_SECONDS = 60.0
STOP_SECONDS = 40.0


class ServerProcess:
    """`cronledger serve` on a free port; it can be killed, stopped and started again.

    Args:
        home: the server's home; made if it is missing.
        options: more words for the command line, such as ``--with-agent``.
        settings: more of the environment, such as ``{"CRONLEDGER_LEASE_SECONDS": "2"}``.
    """

    def __init__(
        self, home: Path, *options: str, settings: Mapping[str, str] | None = None
    ) -> None:
        self.home = home
        self.url = ""
        self._options = options
        self._settings = dict(settings or {})
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The id of the server's process."""
        assert self._process is not None, "the server was not started"
        return self._process.pid

    @property
    def has_external_database(self) -> bool:
        """Whether its PostgreSQL is another's."""
        return "CRONLEDGER_DATABASE_URL" in self._settings

    @property
    def admin_token(self) -> str:
        """The token that may do everything."""
        return (self.home / "admin-token").read_text().strip()

    @property
    def api(self) -> Api:
        """A client with the admin token."""
        return Api(self.url, self.admin_token)

    @property
    def stderr(self) -> str:
        """What the server has said to people since it was first started."""
        return self._stderr_path.read_text(errors="replace")

    def environment(self) -> dict[str, str]:
        """The environment that makes client commands find this server."""
        kept = {n: v for n, v in os.environ.items() if not n.startswith("CRONLEDGER_")}
        programs = {} if PROGRAMS is None else {PROGRAMS_SETTING: str(PROGRAMS)}
        return {**kept, **programs, "CRONLEDGER_HOME": str(self.home)}

    def start_another(self) -> "subprocess.CompletedProcess[str]":
        """Start a second server in the same home, and return what it says: it ends by itself."""
        return subprocess.run(
            [sys.executable, "-m", "cli.main", "serve", "--home", str(self.home), "--port", "0"],
            capture_output=True,
            text=True,
            cwd=REPOSITORY,
            env=self.environment() | self._settings,
            timeout=READY_SECONDS,
            check=False,
        )

    def start(self, *, port: int = 0) -> None:
        """Start and return when requests are answered."""
        words = [sys.executable, "-m", "cli.main", "serve", "--home", str(self.home)]
        with self._stderr_path.open("ab") as stderr:
            self._process = subprocess.Popen(
                [*words, "--port", str(port), *self._options],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr,
                cwd=REPOSITORY,
                env=self.environment() | self._settings,
                start_new_session=True,
            )
        self.url = self._ready_url(self._process)

    def kill(self) -> None:
        """Kill the server's process as a crash would; its PostgreSQL ends by itself."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """Ask the server to stop (SIGTERM), wait, and return its exit code."""
        return self._end(signal.SIGTERM)

    def close(self) -> None:
        """End whatever is left, and return when the last process of its PostgreSQL has gone."""
        if self._process is not None:
            try:
                self.stop()
            except subprocess.TimeoutExpired:
                self.kill()
        eventually(self._is_postgres_gone, "the end of PostgreSQL", STOP_SECONDS)

    @property
    def _stderr_path(self) -> Path:
        return self.home.with_name(self.home.name + ".stderr")

    def _end(self, by: signal.Signals) -> int:
        assert self._process is not None, "the server was not started"
        self._process.send_signal(by)
        code = self._process.wait(STOP_SECONDS)
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._process = None
        return code

    def _ready_url(self, process: subprocess.Popen[bytes]) -> str:
        assert process.stdout is not None
        deadline = time.monotonic() + READY_SECONDS
        said = b""
        while not said.endswith(b"\n"):
            left = max(0.0, deadline - time.monotonic())
            heard, _, _ = select.select([process.stdout], [], [], left)
            more = os.read(process.stdout.fileno(), 4096) if heard else b""
            if not more:
                self.kill()
                raise AssertionError(f"the server did not get ready:\n{self.stderr}")
            said += more
        word, _, url = said.decode().strip().partition(" ")
        assert word == "ready", said
        return url

    def _is_postgres_gone(self) -> bool:
        try:
            with (self.home / "postgres.lock").open("rb") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except FileNotFoundError:
            return True
        except BlockingIOError:
            return False
        return True


@contextlib.contextmanager
def running_server(
    *options: str,
    settings: Mapping[str, str] | None = None,
    on_disk: bool = False,
    from_nothing: bool = False,
) -> Iterator[ServerProcess]:
    """Run a server in a temporary home, then end it.

    Args:
        options: more words for the command line.
        settings: more of the environment.
        on_disk: not in memory, if that matters.
        from_nothing: the home is missing; else its database is there, which saves a second.
    """
    with _folder_on_disk() if on_disk else open_folder() as folder:
        server = ServerProcess(folder / "home", *options, settings=settings)
        if not (from_nothing or server.has_external_database):
            copy_home(server.home)
        try:
            server.start()
            yield server
        finally:
            server.close()


@contextlib.contextmanager
def _folder_on_disk() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="cronledger-")).resolve()
    path.chmod(0o755)  # root's PostgreSQL runs as another user, who must get in
    try:
        yield path
    finally:
        shutil.rmtree(path)
