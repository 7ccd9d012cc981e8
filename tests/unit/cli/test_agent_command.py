"""Rules of `cronledger agent` as a service, as a real process."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cli.main import main
from tests.support.fake_server import TOKEN, FakeServer, problem, serving

ROOT = Path(__file__).parents[3]
DEADLINE_SECONDS = 20


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with serving() as fake:
        yield fake


@contextmanager
def agent(server: FakeServer, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "cli.main", "agent", "--agent-id", "here", *options],
        env={**os.environ, "PYTHONPATH": str(ROOT), "CRONLEDGER_URL": server.url}
        | {"CRONLEDGER_TOKEN": TOKEN},
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def end_of(process: subprocess.Popen[bytes], server: FakeServer) -> tuple[int, str]:
    server.end_polls()
    _, err = process.communicate(timeout=DEADLINE_SECONDS)
    return process.returncode, err.decode()


def test_a_signal_stops_it_and_what_runs_is_reported(server: FakeServer) -> None:
    """SIGTERM: the command is ended and reported, the exit code is 0, each step is a line."""
    execution = server.add("exec sleep 60")
    with agent(server) as process:
        server.wait_for(lambda: execution.heartbeats)
        process.send_signal(signal.SIGTERM)
        code, log = end_of(process, server)
    assert (code, execution.report["failure_reason"]) == (0, "agent_shutdown")
    assert f"{execution.id}: started, job 'nightly'" in log
    assert f"{execution.id}: ended because its agent was stopped" in log
    assert log.endswith("stopped\n")


def test_a_second_signal_does_not_wait_for_the_grace(server: FakeServer) -> None:
    """A command that ignores SIGTERM is killed at once when asked twice."""
    execution = server.add("trap '' TERM; echo up; while :; do sleep 1; done")
    with agent(server, "--kill-grace", "60") as process:
        server.wait_for(lambda: execution.stdout.data)
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        # The iteration ends with the agent: a line that never comes must not be waited for.
        assert any(b"second signal" in line for line in process.stderr)
        process.send_signal(signal.SIGINT)
        code, _ = end_of(process, server)
    assert (code, execution.report["signal"]) == (0, 9)


def test_it_stops_with_its_parent(server: FakeServer) -> None:
    """The end of standard input ends it like a signal, when it was asked to watch it."""
    execution = server.add("exec sleep 60")
    with agent(server, "--exit-with-parent") as process:
        server.wait_for(lambda: execution.heartbeats)
        assert process.stdin is not None
        process.stdin.close()
        process.stdin = None
        code, _ = end_of(process, server)
    assert (code, execution.report["failure_reason"]) == (0, "agent_shutdown")


def test_a_refused_token_is_exit_code_4(server: FakeServer) -> None:
    """The agent does not knock for ever with a token that is none."""
    server.fail("claim", *[problem(401, "invalid_token", "the access token is not known")] * 4)
    with agent(server) as process:
        code, log = end_of(process, server)
    assert code == 4
    assert "the access token is not known" in log


def test_no_token_is_exit_code_4(server: FakeServer, tmp_path: Path) -> None:
    """Without a token it ends at once and says where one is looked for."""
    done = subprocess.run(
        [sys.executable, "-m", "cli.main", "agent"],
        env={"PYTHONPATH": str(ROOT), "CRONLEDGER_HOME": str(tmp_path)},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 4
    assert str(tmp_path / "agent-token").encode() in done.stderr
    assert server.requests == []


@pytest.mark.parametrize("grace", ["inf", "nan", "-1", "1e9", "soon"])
def test_a_grace_without_end_is_a_wrong_use(capsys: pytest.CaptureFixture[str], grace: str) -> None:
    """A command that must end does end."""
    with pytest.raises(SystemExit) as ended:
        main(["agent", f"--kill-grace={grace}"])
    assert ended.value.code == 2
    assert "is no time from 0 to" in capsys.readouterr().err
