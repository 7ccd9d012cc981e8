"""Rules of `cronledger exec`, as a real process around real commands."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from agent.recovery import end_stray
from tests.support.calls import eventually
from tests.support.fake_server import (
    DROP_AFTER,
    DROP_BEFORE,
    TOKEN,
    Execution,
    FakeServer,
    problem,
    serving,
)

ROOT = Path(__file__).parents[3]
DEADLINE_SECONDS = 20


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with serving() as fake:
        yield fake


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A home, and with it a spool, of this test alone."""
    path = tmp_path / "home"
    monkeypatch.setenv("CRONLEDGER_HOME", str(path))
    return path


def popen(url: str, *arguments: str, more: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "cli.main", "exec", "--job", "nightly", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT), "CRONLEDGER_URL": url}
        | {"CRONLEDGER_TOKEN": TOKEN, "MINE": "my own"}
        | (more or {}),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def run(url: str, *arguments: str, given: bytes = b"") -> tuple[int, bytes, bytes]:
    with popen(url, *arguments) as process:
        out, err = process.communicate(given, timeout=DEADLINE_SECONDS)
    return process.returncode, out, err


def only(server: FakeServer) -> Execution:
    (execution,) = server.executions.values()
    return execution


def test_a_run_is_recorded_and_passes_through(server: FakeServer) -> None:
    """Input, environment, both outputs and the exit code are the caller's; the record has them."""
    code, out, err = run(
        server.url,
        *("--", "/bin/sh", "-c", r'cat; printf "$MINE\000\377"; printf bad >&2; exit 3'),
        given=b"from stdin ",
    )
    assert (code, out, err) == (3, b"from stdin my own\0\xff", b"bad")
    execution = only(server)
    assert (execution.stdout.data, execution.stderr.data) == (out, err)
    assert (execution.report["outcome"], execution.report["exit_code"]) == ("exited", 3)
    assert execution.config["claim"]["agent_id"]
    assert execution.config["triggered_by"] == "manual"
    assert execution.config["timeout_seconds"] is None
    assert server.seen("create")[0].json()["claim"] == {
        "agent_id": execution.config["claim"]["agent_id"]
    }
    assert "ended_at" not in execution.report
    assert execution.id.startswith("exec_")


def test_the_command_keeps_its_own_dashes(server: FakeServer) -> None:
    """Only the first `--` is ours."""
    code, out, _ = run(server.url, "--", "printf", "%s|", "--", "-x", "--job")
    assert (code, out) == (0, b"--|-x|--job|")
    assert only(server).config["command"] == ["printf", "%s|", "--", "-x", "--job"]


def test_when_the_job_should_run_is_told(server: FakeServer) -> None:
    """`--expect` travels with the create, and is left out when it is not given."""
    run(server.url, "--expect", "0 3 * * *", "--", "true")
    run(server.url, "--", "true")
    with_it, without = (one.config for one in server.executions.values())
    assert with_it["expected_schedule"] == "0 3 * * *"
    assert "expected_schedule" not in without


def test_a_schedule_that_is_none_costs_a_line_and_no_record(server: FakeServer) -> None:
    """The server says what is wrong with it; the run is recorded without."""
    refused = problem(400, "validation_error", "expected_schedule: is no schedule of cron")
    refused[1]["error"]["details"] = [{"field": "expected_schedule", "message": "is none"}]  # type: ignore[index,call-overload]
    server.fail("create", refused)
    _, _, err = run(server.url, "--expect", "61 * * * *", "--", "true")
    assert "expected_schedule" not in only(server).config
    assert b"when this job should run is not recorded: expected_schedule" in err


@pytest.mark.parametrize(
    ("line", "expected"),
    [(["/no/such"], 127), (["/etc/passwd"], 126), (["/bin/sh", "-c", "kill -9 $$"], 137)],
)
def test_exit_codes_are_a_shells(server: FakeServer, line: list[str], expected: int) -> None:
    """127, 126 and 128 + n, recorded as such."""
    code, _, _ = run(server.url, "--", *line)
    assert code == expected == only(server).report["exit_code"]


def test_a_timeout_is_exit_code_124(server: FakeServer) -> None:
    """The command is ended; the record says timed out."""
    code, _, _ = run(server.url, "--timeout", "1", "--", "sleep", "60")
    assert (code, only(server).report["outcome"]) == (124, "timed_out")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signals_go_to_the_command(server: FakeServer, number: signal.Signals) -> None:
    """The command decides what a signal means, and its exit code comes back."""
    line = f"trap 'echo got it; exit 42' {number.name[3:]}; echo up; while :; do sleep 0.02; done"
    with popen(server.url, "--", "/bin/sh", "-c", line) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        process.send_signal(number)
        out, _ = process.communicate(timeout=DEADLINE_SECONDS)
    assert (process.returncode, out) == (42, b"got it\n")
    assert only(server).report["exit_code"] == 42


def test_a_cancel_ends_the_command(server: FakeServer) -> None:
    """A cancel asked for at the server reaches a command under exec too."""
    with popen(server.url, "--", "sleep", "60") as process:
        server.wait_for(lambda: server.executions and only(server).heartbeats)
        server.cancel(only(server))
        process.communicate(timeout=DEADLINE_SECONDS)
    assert (process.returncode, only(server).report["outcome"]) == (143, "canceled")


def test_a_lost_lease_does_not_end_the_command(server: FakeServer) -> None:
    """The command is the caller's: it goes on, and one line says that its end is not recorded."""
    line = "echo up; read answer; echo $answer"
    with popen(server.url, "--", "/bin/sh", "-c", line) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        server.wait_for(lambda: server.executions and only(server).heartbeats)
        server.lose_lease(only(server))
        out, err = process.communicate(b"still here\n", timeout=DEADLINE_SECONDS)
    assert (process.returncode, out) == (0, b"still here\n")
    assert err == b"cronledger: the end of this run is not recorded: the lease is gone\n"


def kept(home: Path) -> list[Path]:
    """What waits in the spool."""
    return sorted((home / "spool" / "runs").iterdir())


def test_an_unreachable_server_neither_stops_the_command_nor_shows(home: Path) -> None:
    """The command runs at once and as if alone; its record waits in the spool."""
    code, out, err = run("http://127.0.0.1:1", "--", "/bin/sh", "-c", "echo done; exit 5")
    assert (code, out, err) == (5, b"done\n", b"")
    (folder,) = kept(home)
    assert (folder / "stdout.0").read_bytes() == b"done\n"
    assert json.loads((folder / "ending.json").read_bytes())["exit_code"] == 5
    assert folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    "fault", [problem(400, "validation_error", "job_name is too long"), problem(422, "x", "no")]
)
def test_a_refusal_does_not_stop_the_command(
    server: FakeServer, home: Path, fault: tuple[int, dict[str, object]]
) -> None:
    """The command runs, the reason is one line, and the record is set aside for people."""
    server.fail("create", fault)
    code, out, err = run(server.url, "--", "/bin/sh", "-c", "echo done; exit 5")
    assert (code, out) == (5, b"done\n")
    assert err.decode() == f"cronledger: this run is not recorded: {fault[1]['detail']}\n"
    assert kept(home) == []
    (folder,) = (home / "spool" / "refused").iterdir()
    assert json.loads((folder / "reason.json").read_bytes()) == {"reason": fault[1]["detail"]}


@pytest.mark.parametrize(
    "fault",
    [
        problem(401, "invalid_token", "the access token is not known"),
        (200, b"<html>not ours"),
        (201, {"strange": True}),
        (201, {"execution": 1, "lease": []}),
    ],
)
def test_what_is_wrong_with_the_configuration_is_told_once(
    server: FakeServer, home: Path, fault: tuple[int, dict[str, object] | bytes]
) -> None:
    """A wrong token or address does not pass by itself: one line says so; the record is kept."""
    server.fail("create", *[fault] * 20)
    code, out, err = run(server.url, "--", "/bin/sh", "-c", "echo done; exit 5")
    assert (code, out) == (5, b"done\n")
    assert err.startswith(b"cronledger: this run is not recorded yet, and kept in ")
    assert err.count(b"\n") == 1
    assert len(kept(home)) == 1


def test_no_token_is_told_once(server: FakeServer, home: Path) -> None:
    """Without a token the command runs too, and the record is kept."""
    with popen(server.url, "--", "/bin/sh", "-c", "exit 5", more={"CRONLEDGER_TOKEN": ""}) as one:
        _, err = one.communicate(timeout=DEADLINE_SECONDS)
    assert (one.returncode, err.count(b"\n"), len(kept(home))) == (5, 1, 1)
    assert b"no access token" in err


@pytest.mark.parametrize(
    "fault", [DROP_BEFORE, DROP_AFTER, problem(503, "unavailable", "who knows")]
)
def test_a_create_without_a_clear_answer_is_repeated_while_the_command_runs(
    server: FakeServer, fault: str | tuple[int, dict[str, object] | bytes | None]
) -> None:
    """The same id, so that there is one execution; what was written before it is in there."""
    server.fail("create", fault, fault)
    line = "echo early; read answer; exit 5"
    with popen(server.url, "--", "/bin/sh", "-c", line) as process:
        server.wait_for(lambda: server.executions and only(server).stdout.data)
        out, err = process.communicate(b"go\n", timeout=DEADLINE_SECONDS)
    assert (process.returncode, out, err) == (5, b"early\n", b"")
    assert (only(server).stdout.data, only(server).report["exit_code"]) == (b"early\n", 5)
    assert len({request.json()["id"] for request in server.seen("create")}) == 1


def test_a_refused_repetition_says_that_the_run_is_not_recorded(server: FakeServer) -> None:
    """A clear refusal ends the repetition, and the command's output is not held for it."""
    server.fail("create", DROP_BEFORE, problem(400, "validation_error", "job_name is too long"))
    code, out, err = run(server.url, "--", "/bin/sh", "-c", "echo done; exit 5")
    assert (code, out) == (5, b"done\n")
    assert err == b"cronledger: this run is not recorded: job_name is too long\n"


def test_the_next_exec_delivers_what_was_kept_in_order_and_once(
    server: FakeServer, home: Path
) -> None:
    """Two runs without a server, then one with it: all three are told, when they really were."""
    # given
    before = time.time()
    for number in (1, 2):
        run("http://127.0.0.1:1", "--", "/bin/sh", "-c", f"echo {number}; exit {number}")
    first, second = (folder.name for folder in kept(home))
    after = time.time()
    # when
    deliver_by_another(server, second)
    run(server.url, "--", "true")
    # then
    told = [request.json()["id"] for request in server.seen("create")]
    assert [one for one in told if one in (first, second)] == [first, second]
    for one, code in ((server.executions[first], 1), (server.executions[second], 2)):
        assert (one.report["exit_code"], one.stdout.data) == (code, b"%d\n" % code)
        started, ended = one.config["claim"]["started_at"], one.report["ended_at"]
        assert before - 0.001 <= seconds(started) <= seconds(ended) <= after + 0.001
        assert len(one.reports) == 1
    assert kept(home) == []


def deliver_by_another(server: FakeServer, last: str) -> None:
    """Run another exec, until it has delivered what was kept up to this run."""
    with popen(server.url, "--", "/bin/sh", "-c", "read answer") as process:
        server.wait_for(lambda: last in server.executions and server.executions[last].reports)
        process.communicate(b"go\n", timeout=DEADLINE_SECONDS)


def seconds(moment: str) -> float:
    """The Unix time of an RFC 3339 time."""
    return datetime.fromisoformat(moment).timestamp()


def test_a_run_whose_exec_was_killed_is_told_as_unseen(server: FakeServer, home: Path) -> None:
    """Nobody saw its end, and nobody claims to have; its output is there."""
    line = "echo up; exec sleep 60"
    with popen("http://127.0.0.1:1", "--", "/bin/sh", "-c", line) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        (killed,) = (folder.name for folder in kept(home))
        eventually((kept(home)[0] / "stdout.0").exists, "its output")
        process.kill()
        end_stray(killed, 0)
    deliver_by_another(server, killed)
    report = server.executions[killed].report
    assert (report["outcome"], report["exit_code"]) == ("exited", None)
    assert report["error"].startswith("nobody saw how the command ended: exec was killed (")
    assert server.executions[killed].stdout.data == b"up\n"


def test_a_run_that_cannot_be_recorded_as_it_is_is_recorded_in_part(server: FakeServer) -> None:
    """The command runs whole; its record has its beginning, and the user is told at once."""
    words = ["/bin/sh", "-c", "printf %s ${#0}", "x" * 120_000]
    code, out, err = run(server.url, "--job", "j" * 300, "--", *words)
    assert (code, out) == (0, b"120000")
    assert b"only the beginning of the command is recorded" in err
    assert b"the job is recorded as" in err
    config = only(server).config
    assert (len(config["job_name"]), len(config["command"])) == (200, 2)
    assert only(server).report["exit_code"] == 0


def test_the_command_does_not_get_what_opens_the_ledger(server: FakeServer) -> None:
    """Token, key and database stay with exec; every other variable is passed on."""
    names = ("TOKEN", "SECRET_KEY", "DATABASE_URL", "OWNER_DATABASE_URL", "URL")
    shown = "|".join(f"${{CRONLEDGER_{name}-none}}" for name in names)
    others = {f"CRONLEDGER_{name}": "secret" for name in names[1:-1]}
    with popen(server.url, "--", "/bin/sh", "-c", f'echo "{shown}|$MINE"', more=others) as process:
        out, _ = process.communicate(timeout=DEADLINE_SECONDS)
    assert out.decode() == f"none|none|none|none|{server.url}|my own\n"


def test_large_output_passes_whole_while_the_record_is_cut(server: FakeServer) -> None:
    """Twelve MiB come out of exec to the byte; the record keeps both ends of them.

    What the server had not taken within exec's patience comes with a later run.
    """
    code, out, err = run(server.url, "--", "/bin/sh", "-c", "yes 0123456 | head -c 12582912")
    assert (code, err) == (0, b"")
    assert out == b"0123456\n" * 1_572_864
    stream = only(server).stdout
    assert stream.omitted == (5 * 1024 * 1024, 7 * 1024 * 1024)

    def is_whole() -> bool:
        run(server.url, "--", "true")
        return len(stream.data) == 10 * 1024 * 1024

    eventually(is_whole, "both ends of the output", DEADLINE_SECONDS)


def test_a_closed_output_ends_the_command(server: FakeServer) -> None:
    """`exec … | head` ends like the bare command would."""
    with popen(server.url, "--", "yes") as process:
        assert process.stdout is not None
        process.stdout.read(10)
        process.stdout.close()
        assert process.wait(DEADLINE_SECONDS) == 141
    assert only(server).report["signal"] == 13


def test_closed_descriptors_are_not_those_of_our_files(home: Path) -> None:
    """With stdin and stdout closed, the command's output gets into no file but the kept one."""
    line = 'exec "$0" -m cli.main exec --job nightly -- echo out 0<&- 1>&-'
    subprocess.run(
        ["/bin/sh", "-c", line, sys.executable],
        env={**os.environ, "PYTHONPATH": str(ROOT), "CRONLEDGER_URL": "http://127.0.0.1:1"}
        | {"CRONLEDGER_TOKEN": TOKEN},
        check=True,
        timeout=DEADLINE_SECONDS,
    )
    (folder,) = kept(home)
    assert [path.name for path in folder.iterdir() if b"out\n" in path.read_bytes()] == ["stdout.0"]


def test_a_full_disk_does_not_keep_the_end_from_the_server(server: FakeServer, home: Path) -> None:
    """The end that cannot be written down is told all the same."""
    fill = "resource.prlimit(os.getppid(), resource.RLIMIT_FSIZE, (0, 0))"
    line = f"import os, resource; {fill}; raise SystemExit(3)"
    code, _, err = run(server.url, "--", sys.executable, "-c", line)
    assert (code, err) == (3, b"")
    assert only(server).report["exit_code"] == 3
    assert kept(home) == []


def test_a_caller_that_ignores_its_children_gets_the_exit_code(server: FakeServer) -> None:
    """An ignored SIGCHLD is inherited; the command's exit code is known all the same."""
    script = "import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); "
    script += "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
    line = ["-m", "cli.main", "exec", "--job", "nightly", "--", "/bin/sh", "-c", "exit 3"]
    done = subprocess.run(
        [sys.executable, "-c", script, *line],
        env={**os.environ, "PYTHONPATH": str(ROOT), "CRONLEDGER_URL": server.url}
        | {"CRONLEDGER_TOKEN": TOKEN},
        timeout=DEADLINE_SECONDS,
        check=False,
    )
    assert done.returncode == 3 == only(server).report["exit_code"]


def test_an_agent_id_that_is_no_name_is_a_wrong_use(server: FakeServer) -> None:
    """The server would refuse it after the run, when it is too late to say so."""
    code, _, err = run(server.url, "--agent-id", "no name", "--", "true")
    assert code == 2
    assert b"'no name' is no name" in err
