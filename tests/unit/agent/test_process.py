"""Rules of running and ending one command, with real processes."""

import signal
import sys
from pathlib import Path

import pytest

from agent.process import (
    AGENT_SHUTDOWN,
    CANCELED,
    CUT_OFF,
    LEASE_LOST,
    CannotStart,
    Command,
    Ending,
    RunningCommand,
    scratch_environment,
    start,
)

DEADLINE_SECONDS = 20.0
SLEEPER = [sys.executable, "-c", "import signal; print('up', flush=True); signal.pause()"]


def close(running: RunningCommand) -> None:
    running.stdout.close()
    running.stderr.close()


def wait_until_up(running: RunningCommand) -> None:
    said = b""
    while said != b"up\n":
        part = running.stdout.read(3)
        assert part, "it ended before it was up"
        said += part


def run(command: Command, timeout_seconds: float | None = None, grace: float = 10.0) -> Ending:
    running = start(command)
    try:
        return running.supervise(timeout_seconds, grace)
    finally:
        close(running)


def test_a_string_is_run_by_the_shell_and_its_exit_code_kept() -> None:
    """The exit code of a shell line is the execution's."""
    ending = run(Command("true && exit 7"))
    assert (
        ending.outcome,
        ending.exit_code,
        ending.signal,
        ending.failure_reason,
    ) == ("exited", 7, None, None)


def test_a_list_is_run_without_a_shell() -> None:
    """Arguments arrive as they are: nothing is expanded."""
    running = start(Command(["printf", "%s", "$HOME *"]))
    ending = running.supervise(None)
    assert (running.stdout.read(), ending.exit_code) == (b"$HOME *", 0)
    close(running)


def test_an_end_by_signal_is_recorded_as_such() -> None:
    """A command that is killed has exit code 128 + n and the reason `signal`."""
    ending = run(Command("kill -9 $$"))
    assert (
        ending.outcome,
        ending.exit_code,
        ending.signal,
        ending.failure_reason,
    ) == ("exited", 137, 9, "signal")
    assert ending.error == "ended by SIGKILL"


@pytest.mark.parametrize(
    ("line", "working_dir", "exit_code"),
    [
        (["/no/such/program"], None, 127),
        (["no-such-program-anywhere"], None, 127),
        (["/etc/passwd"], None, 126),
        ([], None, 127),
        (["true"], "/no/such/folder", 126),
        (["true", "a\0b"], None, 126),
    ],
)
def test_what_cannot_start_is_refused_as_a_shell_would(
    line: list[str], working_dir: str | None, exit_code: int
) -> None:
    """127 if there is no such program, 126 if it cannot be run, with a sentence."""
    with pytest.raises(CannotStart) as caught:
        start(Command(line, working_dir=working_dir))
    assert exit_code == caught.value.exit_code
    assert (
        caught.value.ending().outcome,
        caught.value.ending().failure_reason,
    ) == ("exited", "spawn_failed")
    assert str(caught.value)


def test_a_timeout_ends_the_command() -> None:
    """A command over its time gets SIGTERM and is reported as timed out."""
    ending = run(Command("exec sleep 60"), timeout_seconds=0.1)
    assert (ending.outcome, ending.exit_code, ending.signal) == ("timed_out", 143, 15)
    assert ending.error == "timed out after 0.1 s"
    assert 100 <= ending.duration_ms < 10_000


def test_what_ignores_sigterm_is_killed_after_the_grace() -> None:
    """SIGKILL follows when the grace is over."""
    ending = run(
        Command(["/bin/sh", "-c", "trap '' TERM; while :; do sleep 1; done"]),
        timeout_seconds=0.2,
        grace=0.2,
    )
    assert (ending.outcome, ending.signal) == ("timed_out", 9)


def test_a_stopped_command_can_be_ended() -> None:
    """SIGTERM reaches a command in SIGSTOP before the grace is over."""
    ending = run(Command("kill -STOP $$"), timeout_seconds=0.2, grace=60)
    assert (ending.outcome, ending.signal) == ("timed_out", 15)


def test_children_that_outlive_the_shell_are_ended_too() -> None:
    """The whole group dies: a child that ignores SIGTERM does not survive its dead shell."""
    # given: a child that says when it is ready, and a shell that dies on SIGTERM at once
    child = (
        "import os, signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "os.write(1, b'%d\\n' % os.getpid()); signal.pause()"
    )
    running = start(Command(["/bin/sh", "-c", f'{sys.executable} -c "{child}"; true']))
    assert int(running.stdout.read(64)) > 1
    # when
    running.end(CANCELED)
    ending = running.supervise(None, 0.3)
    # then: the pipe's end is the proof that nobody holds it any more
    assert ending.outcome == "canceled"
    assert running.stdout.read() == b""
    close(running)


def test_the_first_reason_counts() -> None:
    """A cancel that came first is not turned into a shutdown."""
    running = start(Command(SLEEPER))
    wait_until_up(running)
    running.end(CANCELED)
    running.end(AGENT_SHUTDOWN)
    assert running.supervise(None).outcome == "canceled"
    close(running)


def test_a_shutdown_is_an_exit_with_its_reason() -> None:
    """A stopped agent reports its command as exited, and says why."""
    running = start(Command(SLEEPER))
    running.end(AGENT_SHUTDOWN)
    ending = running.supervise(None)
    assert (
        ending.outcome,
        ending.exit_code,
        ending.failure_reason,
    ) == ("exited", 143, "agent_shutdown")
    close(running)


@pytest.mark.parametrize("reason", [CUT_OFF, LEASE_LOST])
def test_a_command_that_is_cut_off_has_failed_whatever_its_exit_code(reason: str) -> None:
    """A command that ends on SIGTERM with exit code 0 has not done its work."""
    running = start(Command("trap 'exit 0' TERM; echo up; while :; do sleep 0.02; done"))
    wait_until_up(running)
    running.end(reason)
    ending = running.supervise(None)
    assert (ending.outcome, ending.exit_code) == ("exited", 0)
    assert ending.failure_reason == "agent_shutdown"
    assert "lease" in (ending.error or "")
    close(running)


def test_a_kill_does_not_wait_for_the_grace() -> None:
    """A hurried end uses SIGKILL at once."""
    running = start(Command(["/bin/sh", "-c", "trap '' TERM; echo up; sleep 60"]))
    wait_until_up(running)
    running.kill(AGENT_SHUTDOWN)
    assert running.supervise(None, 60).signal == signal.SIGKILL
    close(running)


def test_an_end_after_the_exit_changes_nothing() -> None:
    """A cancel that comes too late leaves the true outcome."""
    running = start(Command("exit 3"))
    ending = running.supervise(None)
    running.end(CANCELED)
    assert (ending.exit_code, ending.outcome) == (3, "exited")
    assert running.supervise(None) == ending
    close(running)


def test_signals_are_passed_to_the_command() -> None:
    """A forwarded signal reaches the command, which may live on."""
    running = start(Command("trap 'exit 5' HUP; echo up; while :; do sleep 0.05; done"))
    wait_until_up(running)
    running.send_signal(signal.SIGHUP)
    ending = running.supervise(DEADLINE_SECONDS)
    assert (ending.exit_code, ending.outcome) == (5, "exited")
    close(running)


def test_the_environment_is_made_from_scratch(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The agent's own variables do not leak; the job's and the execution's are there."""
    # given
    monkeypatch.setenv("CRONLEDGER_TOKEN", "clk_secret")
    environment = scratch_environment({"GREETING": "hello"}, "exec_1", "nightly")
    # when
    running = start(Command("env; pwd", environment, str(tmp_path)))
    running.supervise(None)
    shown = running.stdout.read().decode()
    # then
    assert "clk_secret" not in shown
    assert "GREETING=hello\n" in shown
    assert "CRONLEDGER_EXECUTION_ID=exec_1\n" in shown
    assert "CRONLEDGER_JOB_NAME=nightly\n" in shown
    assert f"{tmp_path}\n" in shown
    assert {"PATH", "HOME", "USER", "LOGNAME", "SHELL"} <= environment.keys()
    close(running)


def test_standard_input_is_empty() -> None:
    """An agent's command reads the end of /dev/null."""
    assert run(Command("cat")).exit_code == 0
