"""Real agents and client commands as processes, and looks at the processes that they start."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.support.calls import SECONDS, eventually, fresh
from tests.support.embedded import REPOSITORY
from tests.support.server import ServerProcess


class AgentProcess:
    """`cronledger agent`, told where its server is; it ends with `stop` or `kill`."""

    def __init__(
        self, server: ServerProcess, log: Path, agent_id: str, kill_grace: float, url: str
    ) -> None:
        self.agent_id = agent_id
        self._log = log
        words = ["--agent-id", agent_id, "--kill-grace", str(kill_grace), "--concurrency", "4"]
        with log.open("wb") as stderr:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "cli.main", "agent", *words],
                stdin=subprocess.DEVNULL,
                stderr=stderr,
                cwd=REPOSITORY,
                env=server.environment()
                | {"CRONLEDGER_URL": url, "CRONLEDGER_TOKEN": server.admin_token},
                start_new_session=True,
            )

    @property
    def stderr(self) -> str:
        """What it has said."""
        return self._log.read_text(errors="replace")

    def stop(self) -> int:
        """Ask it to stop, wait, and return its exit code."""
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(2 * SECONDS)

    def kill(self) -> None:
        """Kill it, as a crash would; its commands are left to themselves."""
        self._process.kill()
        self._process.wait(SECONDS)

    def pause(self) -> None:
        """Stop it in the middle of whatever it does."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self._process.send_signal(signal.SIGCONT)


@contextlib.contextmanager
def running_agent(
    server: ServerProcess,
    *,
    agent_id: str | None = None,
    kill_grace: float = 0.5,
    url: str | None = None,
) -> Iterator[AgentProcess]:
    """Run an agent, which may have another `url` for its server, and end it if the test has not."""
    name = agent_id or fresh("agent")
    agent = AgentProcess(
        server, server.home.with_name(f"{name}.log"), name, kill_grace, url or server.url
    )
    try:
        yield agent
    finally:
        agent.resume()
        agent.kill()


def cronledger(
    server: ServerProcess,
    *words: str,
    stdin: bytes = b"",
    settings: dict[str, str] | None = None,
) -> "subprocess.CompletedProcess[bytes]":
    """Run a client command on the server's machine."""
    return subprocess.run(
        [sys.executable, "-m", "cli.main", *words],
        input=stdin,
        capture_output=True,
        cwd=REPOSITORY,
        env=server.environment() | (settings or {}),
        timeout=3 * SECONDS,
        check=False,
    )


def is_alive(pid: int) -> bool:
    """Whether a process runs; the dead that nobody has reaped do not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in {"Z", "X"}


def until_gone(pid: int) -> None:
    """Wait for the end of a process, of whoever."""
    eventually(lambda: not is_alive(pid), f"the end of process {pid}")


def end_orphan(pid: int) -> None:
    """Kill a command that lost its agent."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
