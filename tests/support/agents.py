"""Real agents and client commands as processes, and looks at the processes that they start."""

import contextlib
import io
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

from cli.main import main
from tests.support.calls import SECONDS, Api, eventually, fresh
from tests.support.embedded import REPOSITORY
from tests.support.server import ServerProcess


class AgentProcess:
    """`cronledger agent`, told where its server is; it ends with `stop` or `kill`."""

    def __init__(
        self,
        server: ServerProcess,
        log: Path,
        agent_id: str,
        kill_grace: float,
        *options: str,
        url: str | None = None,
    ) -> None:
        self.agent_id = agent_id
        self._log = log
        words = ["--agent-id", agent_id, "--kill-grace", str(kill_grace), "--concurrency", "4"]
        words += options
        with log.open("wb") as stderr:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "cli.main", "agent", *words],
                stdin=subprocess.DEVNULL,
                stderr=stderr,
                cwd=REPOSITORY,
                env=server.environment()
                | {"CRONLEDGER_URL": url or server.url, "CRONLEDGER_TOKEN": server.admin_token},
                start_new_session=True,
            )

    @property
    def stderr(self) -> str:
        """What it has said."""
        return self._log.read_text(errors="replace")

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    def ask_to_stop(self) -> None:
        """Ask it to stop."""
        self._process.send_signal(signal.SIGTERM)

    def wait(self, seconds: float = 2 * SECONDS) -> int:
        """Wait for its end, and return its exit code."""
        return self._process.wait(seconds)

    def stop(self) -> int:
        """Ask it to stop, wait, and return its exit code."""
        self.ask_to_stop()
        return self.wait()

    def kill(self) -> None:
        """Kill it, as a crash would; its commands go on under their supervisors."""
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
    *options: str,
    agent_id: str | None = None,
    kill_grace: float = 0.5,
    url: str | None = None,
) -> Iterator[AgentProcess]:
    """Run an agent, which may have another `url` for its server, and end it if the test has not."""
    name = agent_id or fresh("agent")
    log = server.home.with_name(f"{name}.log")
    agent = AgentProcess(server, log, name, kill_grace, *options, url=url)
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


def cronledger_here(server: ServerProcess, *words: str) -> "subprocess.CompletedProcess[bytes]":
    """Run a client command in this process, which takes a tenth of the time of one of its own."""
    stdout, stderr = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in "oe")
    with (
        mock.patch.dict(os.environ, server.environment(), clear=True),
        contextlib.redirect_stdout(stdout),
        contextlib.redirect_stderr(stderr),
    ):
        try:
            code = main(words)
        except SystemExit as end:  # argparse's way
            code = int(end.code or 0)
    told = [one.detach().getvalue() for one in (stdout, stderr)]
    return subprocess.CompletedProcess(words, code, *told)


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


def begin(api: Api, agent_id: str, command: Any, **fields: Any) -> str:
    """Create an execution for an agent; return its id."""
    return str(api.create(command=command, pinned_agent_id=agent_id, **fields)["id"])


def first_line(api: Api, execution: str) -> str:
    """Wait for the first line that a running command writes."""
    return str(api.until(execution, lambda seen: "\n" in seen["output"])["output"].split("\n")[0])


def runs_of(server: ServerProcess, agent_id: str) -> list[Path]:
    """The folders of runs that an agent has not settled."""
    folder = server.home / "agent" / agent_id / "runs"
    return sorted(folder.iterdir()) if folder.is_dir() else []


def until_settled(server: ServerProcess, agent_id: str) -> None:
    """Wait until all runs of an agent are settled; where no supervisor lives on, while it runs."""
    eventually(lambda: not runs_of(server, agent_id), "every run is settled")
