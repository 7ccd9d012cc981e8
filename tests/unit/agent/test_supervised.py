"""Rules of a supervisor: a process that sees one command through, whoever started it."""

import errno
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from agent.kindred import adopt_orphans
from agent.process import AGENT_SHUTDOWN, CANCELED, scratch_environment
from agent.recovery import NEVER_STARTED, ending_of, find_runs
from agent.run_folder import ENDING, RUN, RUNNING, RunFolder
from agent.supervised import Supervised
from agent.supervisor import CutOff, write_ending
from tests.support.agents import end_orphan, is_alive, until_gone
from tests.support.calls import SECONDS, eventually, fresh
from tests.support.trees import escaping_tree, survivors, until_none_is_left


def job(command: Any, **members: Any) -> dict[str, Any]:
    """What an agent tells a supervisor."""
    return {
        "command": command,
        "environment": scratch_environment({}, "exec_x", "nightly"),
        "working_dir": None,
        "timeout_seconds": None,
        "grace_seconds": 0.3,
        "secrets": [],
        "patterns": [],
        "stop_when_cut_off": False,
    } | members


class Supervision:
    """A supervisor under test, and what it leaves."""

    def __init__(self, runs: Path, command: Any, members: Mapping[str, Any]) -> None:
        execution_id = fresh("exec")
        self.folder, (running,) = RunFolder.make(runs, execution_id, RUNNING)
        lease = {"execution_id": execution_id, "token": "t", "heartbeat_seconds": 1, "seconds": 3}
        self.folder.write(RUN, {"lease": lease, "started_at": time.time()})
        environment = scratch_environment({}, execution_id, "nightly")
        told = job(command, environment=environment) | dict(members)
        self.subject = Supervised.start(self.folder, running, told)
        os.close(running)

    def output(self) -> str:
        """What its command has written so far."""
        path = self.folder.path / "stdout.0"
        return path.read_text() if path.exists() else ""

    def until_said(self, text: str) -> str:
        """Wait for a text in its command's output."""
        return eventually(lambda: text in self.output() and self.output(), f"{text!r}") or ""

    def ending(self) -> dict[str, Any]:
        """Wait for its end, and return what it has written down."""
        deadline = time.monotonic() + SECONDS
        while not self.subject.over:
            assert time.monotonic() < deadline, "it goes on"
            self.subject.wait(0.5, for_news=False)
        return ending_of(self.folder, 0.2)

    @property
    def pid(self) -> int:
        """The supervisor's process."""
        assert self.subject._popen is not None
        return self.subject._popen.pid


@contextmanager
def supervised(runs: Path, command: Any, **members: Any) -> Iterator[Supervision]:
    """Run a command under a supervisor of its own."""
    made = Supervision(runs, command, members)
    try:
        yield made
    finally:
        made.subject.kill(AGENT_SHUTDOWN)
        made.ending()
        made.subject.close()


@pytest.mark.parametrize("by", ["timeout", "cancel", "shutdown"])
def test_no_process_gets_away_from_an_end_that_is_brought_about(tmp_path: Path, by: str) -> None:
    """Double-forked daemons in sessions of their own, deaf or stopped ones: none survives."""
    mark = fresh("tree")
    limit = 1 if by == "timeout" else None
    with supervised(tmp_path, escaping_tree(mark, seed=7), timeout_seconds=limit) as one:
        one.until_said("grown")
        assert len(survivors(mark)) > 3
        if by != "timeout":
            one.subject.end(CANCELED if by == "cancel" else AGENT_SHUTDOWN)
        ending = one.ending()
        until_none_is_left(mark, one.output())
    expected = {"timeout": "timed_out", "cancel": "canceled", "shutdown": "exited"}
    assert ending["outcome"] == expected[by]
    assert ending["streams"]["stdout"]["bytes"] == len("grown 0\n")


def test_who_forks_faster_than_one_can_look_does_not_get_away(tmp_path: Path) -> None:
    """A process that is somebody else all the time is caught too."""
    mark = fresh("hops")
    with supervised(tmp_path, escaping_tree(mark, 1, depth=0, hops=True)) as one:
        one.until_said("grown")
        one.subject.kill(CANCELED)
        one.ending()
        until_none_is_left(mark, one.output())


def test_a_normal_end_leaves_the_background_alone(tmp_path: Path) -> None:
    """What a command has started for later goes on after it."""
    with supervised(tmp_path, "setsid sleep 60 >&- 2>&- & echo $!; exit 3") as one:
        ending = one.ending()
        left = int(one.output())
        assert (ending["exit_code"], is_alive(left)) == (3, True)
        end_orphan(left)


def test_an_orphan_that_ends_is_reaped(tmp_path: Path) -> None:
    """A command that runs for long may lose a thousand daemons: none stays as a zombie."""
    line = "for n in 1 2 3; do (sleep 0.01 & echo $! >> pids); done; echo left; exec sleep 60"
    with supervised(tmp_path / "runs", line, working_dir=str(tmp_path)) as one:
        one.until_said("left")
        orphans = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
        eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in orphans), "no zombies")


def test_it_writes_down_how_the_command_ended(tmp_path: Path) -> None:
    """An exit by signal is one; the folder is for its owner alone."""
    with supervised(tmp_path, "echo out; echo err >&2; kill -9 $$") as one:
        ending = one.ending()
    assert (ending["exit_code"], ending["signal"]) == (137, 9)
    assert (ending["failure_reason"], ending["error"]) == ("signal", "ended by SIGKILL")
    assert (one.folder.path / "stderr.0").read_bytes() == b"err\n"
    modes = {path.name: path.stat().st_mode & 0o077 for path in one.folder.path.iterdir()}
    assert set(modes.values()) == {0}
    assert one.folder.path.stat().st_mode & 0o777 == 0o700


def test_secrets_are_neither_in_arguments_nor_environment_nor_files(tmp_path: Path) -> None:
    """A secret goes through a pipe, from the agent's memory to that of its command."""
    secret = fresh("geheim")
    environment = scratch_environment({"PASSWORD": secret}, "exec_x", "nightly")
    line = 'test -n "$PASSWORD" && echo up; exec sleep 60'
    with supervised(tmp_path, line, environment=environment, secrets=[secret]) as one:
        one.until_said("up")
        process = Path(f"/proc/{one.pid}")
        for name in ("cmdline", "environ"):
            assert secret.encode() not in (process / name).read_bytes()
        files = [path for path in one.folder.path.iterdir() if path.is_file()]
        assert not [path for path in files if secret.encode() in path.read_bytes()]


def test_another_agent_finds_it_and_is_obeyed(tmp_path: Path) -> None:
    """What one agent has started, the next one can cancel, and sees its end."""
    with supervised(tmp_path, "echo up; exec sleep 60") as one:
        one.until_said("up")
        (found,) = find_runs(tmp_path)
        assert found.supervised is not None
        found.supervised.end(CANCELED)
        assert one.ending()["outcome"] == "canceled"
        found.supervised.wait(SECONDS, for_news=False)
        assert found.supervised.over
        found.supervised.close()
        os.close(found.delivering)


def test_it_ends_its_command_when_it_is_told_to_stop_itself(tmp_path: Path) -> None:
    """SIGTERM to the supervisor, as at a shutdown of the machine, is one to the command."""
    with supervised(
        tmp_path, "trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.02; done"
    ) as one:
        one.until_said("up")
        os.kill(one.pid, signal.SIGTERM)
        ending = one.ending()
    assert (ending["exit_code"], ending["failure_reason"]) == (0, "agent_shutdown")


def test_nobody_claims_to_have_seen_the_end_of_a_killed_supervisors_command(
    tmp_path: Path,
) -> None:
    """What is left of the command is ended, and the report says that nobody saw how it ended."""
    with supervised(tmp_path, "setsid sleep 60 & echo $!; exec sleep 60") as one:
        left = int(one.until_said("\n"))
        os.kill(one.pid, signal.SIGKILL)
        ending = one.ending()
        until_gone(left)
        assert ending == one.folder.read(ENDING)
    assert (ending["outcome"], ending["exit_code"], ending["signal"]) == ("exited", None, None)
    assert ending["error"] == (
        "nobody saw how the command ended: its supervisor was killed "
        "(the duration is that to the last sign of it)"
    )


def test_a_disk_that_loses_output_does_not_lose_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A known exit code is written down, though some output could not be made durable."""
    folder, _ = RunFolder.make(tmp_path, "exec_1")

    def broken(_folder: RunFolder) -> None:
        raise OSError(errno.EIO, "input/output error")

    monkeypatch.setattr(RunFolder, "sync", broken)
    write_ending(folder, {"exit_code": 3})
    assert folder.read(ENDING) == {"exit_code": 3}


def test_the_agents_token_is_not_in_the_environment_of_a_supervisor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command of the same user could read it there."""
    monkeypatch.setenv("CRONLEDGER_TOKEN", "clk_secret")
    with supervised(
        tmp_path, "tr '\\0' '\\n' < /proc/$PPID/environ; echo up; exec sleep 60"
    ) as one:
        said = one.until_said("up\n")
    assert "PATH=" in said
    assert "clk_secret" not in said


def test_where_orphans_cannot_be_adopted_there_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small Python without ctypes runs commands all the same."""
    monkeypatch.setitem(sys.modules, "_ctypes", None)
    assert not adopt_orphans()


def test_a_supervisor_that_cannot_be_started_leaves_no_descriptor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An agent that fails to start one a thousand times can still start the next."""
    folder, (running,) = RunFolder.make(tmp_path, "exec_1", RUNNING)
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    before = set(Path("/proc/self/fd").iterdir())
    with pytest.raises(FileNotFoundError):
        Supervised.start(folder, running, job("true"))
    assert set(Path("/proc/self/fd").iterdir()) == before
    os.close(running)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_a_command_can_run_as_another_user(tmp_path: Path) -> None:
    """User, groups and the variables that name the user are the other's."""
    environment = scratch_environment({}, "exec_x", "nightly", "nobody")
    line = 'id -un; id -Gn; echo "$USER $LOGNAME"'
    with supervised(tmp_path, line, user="nobody", environment=environment, working_dir="/") as one:
        assert one.ending()["exit_code"] == 0
        assert one.output() == "nobody\nnogroup\nnobody nobody\n"
    with supervised(tmp_path, "true", user="no-such-user") as one:
        ending = one.ending()
    assert (ending["exit_code"], ending["failure_reason"]) == (126, "spawn_failed")


# ---------------------------------------------------------------------------------------- cut off


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


def test_a_cut_off_command_is_ended_before_its_lease_runs_out() -> None:
    """Counted from when the last answered renewal was sent; older news changes nothing."""
    clock = Clock()
    subject = CutOff(30, renewed_at=100, clock=clock)
    assert subject.seconds_left() == 20
    clock.now = 110
    subject.renewed(108)
    subject.renewed(104)
    assert subject.seconds_left() == 18
    clock.now = 128
    assert subject.seconds_left() <= 0
    assert 128 + subject.grace_seconds < 108 + 30


def test_a_supervisor_ends_a_cut_off_command_also_without_an_agent(tmp_path: Path) -> None:
    """Nobody renews the lease: the command ends in time, though nobody is there to say so."""
    began = time.monotonic()
    with supervised(
        tmp_path,
        "exec sleep 60",
        stop_when_cut_off=True,
        lease_seconds=1.5,
        renewed_at=began,
    ) as one:
        ending = one.ending()
    assert ending["error"] == "ended because its agent could not renew the lease"
    # Counted from the renewal, not from its own start, which a busy machine delays.
    assert time.monotonic() - began > 0.9
    assert ending["duration_ms"] < 1500


def test_a_renewed_lease_lets_the_command_go_on(tmp_path: Path) -> None:
    """As long as renewals are told, the command runs."""
    with supervised(
        tmp_path,
        "echo up; exec sleep 60",
        stop_when_cut_off=True,
        lease_seconds=1.5,
        renewed_at=time.monotonic(),
    ) as one:
        end = time.monotonic() + 2
        while time.monotonic() < end:
            one.subject.renewed(time.monotonic())
            one.subject.wait(0.2, for_news=False)
        assert not one.subject.over


def test_a_command_that_no_supervisor_has_taken_over_never_ran(tmp_path: Path) -> None:
    """An agent that was killed in between leaves a run that is told as not started."""
    folder, (running,) = RunFolder.make(tmp_path, "exec_1", RUNNING)
    folder.write(RUN, {"started_at": time.time()})
    os.close(running)
    ending = ending_of(folder, 0)
    assert (ending["exit_code"], ending["error"]) == (None, NEVER_STARTED)
    assert ending_of(folder, 0) == ending
