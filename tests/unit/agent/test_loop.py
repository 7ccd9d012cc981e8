"""Rules of the agent, with real commands against a real (small) server that fails on request."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.calls import eventually
from tests.support.fake_server import (
    DROP_AFTER,
    DROP_BEFORE,
    FakeServer,
    problem,
    serving,
)
from tests.support.workers import DEADLINE_SECONDS, Worker, done, working

BUSY = problem(503, "unavailable", "try again")


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with serving() as fake:
        yield fake


def test_a_pending_command_is_run_and_reported(server: FakeServer, tmp_path: Path) -> None:
    """From claim to outcome: both streams, their digests, the exit code, the environment."""
    # given
    execution = server.add(
        'printf "$GREETING\\0\\377"; printf no >&2; exit 3', environment={"GREETING": "hello"}
    )
    # when
    with working(server, tmp_path):
        done(server, execution)
    # then
    report = execution.report
    assert (execution.stdout.data, execution.stderr.data) == (b"hello\0\xff", b"no")
    assert (report["outcome"], report["exit_code"], report["failure_reason"]) == ("exited", 3, None)
    assert report["stdout_sha256"] == hashlib.sha256(b"hello\0\xff").hexdigest()
    assert (report["stdout_bytes"], report["stderr_bytes"]) == (7, 2)


def test_slots_run_side_by_side(server: FakeServer, tmp_path: Path) -> None:
    """Two slots hold two commands at the same time."""
    first, second = server.add("exec sleep 60"), server.add("exec sleep 60")
    with working(server, tmp_path, concurrency=2):
        server.wait_for(lambda: first.heartbeats and second.heartbeats)
        assert not first.reports
        server.cancel(first)
        server.cancel(second)
        done(server, first, second)


def test_a_claim_whose_answer_is_lost_is_repeated_under_its_id(
    server: FakeServer, tmp_path: Path
) -> None:
    """The same Claim-Id gets the same execution, so that none is lost."""
    server.fail("claim", DROP_AFTER, DROP_AFTER, BUSY)
    execution = server.add("true")
    with working(server, tmp_path, concurrency=1):
        done(server, execution)
    first_ids = [request.headers["claim-id"] for request in server.seen("claim")][:3]
    assert len(set(first_ids)) == 1


@pytest.mark.parametrize(("status", "code"), [(409, "lease_lost"), (422, "idempotency_mismatch")])
def test_a_claim_id_that_is_refused_gives_way_to_another(
    server: FakeServer, tmp_path: Path, status: int, code: str
) -> None:
    """One dead Claim-Id costs one line in the log, and not the agent."""
    refused = problem(status, code, "what was claimed is gone")
    server.fail("claim", DROP_AFTER, refused)
    lost = server.add("true")
    with working(server, tmp_path, concurrency=1) as worker:
        server.wait_for(lambda: server.seen("claim"))
        execution = server.add("true")
        done(server, execution)
    assert not lost.reports
    assert any("a claim was refused: what was claimed is gone" in line for line in worker.lines)


def test_a_claim_id_is_given_up_when_the_server_fails_for_a_whole_lease(
    server: FakeServer, tmp_path: Path
) -> None:
    """The repetition of a 5xx is bounded for each Claim-Id, not for the agent."""
    server.fail("claim", DROP_AFTER, BUSY)
    server.add("true")
    with working(server, tmp_path, concurrency=1, claim_id_seconds=0):
        server.wait_for(lambda: server.seen("claim"))
        execution = server.add("true")
        done(server, execution)
        # Before the stop, which asks again under its own id for what the last claim got.
        ids = [request.headers["claim-id"] for request in server.seen("claim")]
    assert len(set(ids)) == len(ids) > 1


def test_a_heartbeat_waits_no_longer_than_the_server_allows(
    server: FakeServer, tmp_path: Path
) -> None:
    """A period above the wire's most is served by shorter polls."""
    server.heartbeat_seconds = 600
    execution = server.add("exec sleep 60")
    with working(server, tmp_path):
        server.wait_for(lambda: execution.heartbeats)
        server.cancel(execution)
        done(server, execution)
    assert server.seen("heartbeat")[0].json() == {"wait_seconds": 30}


def test_heartbeats_come_as_often_as_the_server_asks(server: FakeServer, tmp_path: Path) -> None:
    """A period below a second is kept too: a hundred take two seconds, and not a hundred."""
    server.heartbeat_seconds = 0.02
    execution = server.add("exec sleep 60")
    with working(server, tmp_path):
        server.wait_for(lambda: execution.heartbeats >= 100)
        server.cancel(execution)
        done(server, execution)


def test_a_server_that_was_away_for_long_is_asked_within_its_lease(
    server: FakeServer, tmp_path: Path
) -> None:
    """The delay between attempts grows to a part of a lease only: a fresh one is not missed."""
    server.heartbeat_seconds = 0.1
    server.fail("heartbeat", *[BUSY] * 60)  # with delays up to five seconds, these take minutes
    execution = server.add("exec sleep 60")
    with working(server, tmp_path):
        server.wait_for(lambda: execution.heartbeats)
        server.cancel(execution)
        done(server, execution)


def test_a_claim_without_an_answer_is_repeated_within_a_lease(
    server: FakeServer, tmp_path: Path
) -> None:
    """What was granted unheard is lost with its lease: the delays grow to a part of one only."""
    server.heartbeat_seconds = 0.1
    with working(server, tmp_path, concurrency=1):
        done(server, server.add("true"))  # now the agent knows how short leases are
        server.fail("claim", *[DROP_AFTER] * 40)  # with delays up to ten seconds: minutes
        done(server, server.add("true"))


@pytest.mark.parametrize("strange", [{"status": "ok"}, {"next_offset": "x"}])
def test_answers_of_something_else_end_neither_the_output_nor_the_heartbeats(
    server: FakeServer, tmp_path: Path, strange: dict[str, object]
) -> None:
    """JSON of another shape is as if the server were away: asked again, nothing is lost."""
    server.fail("logs", (200, strange), (200, b"[]"))
    server.fail("heartbeat", (200, strange), (200, b"[]"))
    execution = server.add("echo one; exec sleep 60")
    with working(server, tmp_path):
        server.wait_for(lambda: execution.stdout.data and execution.heartbeats)
        server.cancel(execution)
        done(server, execution)
    assert (execution.stdout.data, execution.report["outcome"]) == (b"one\n", "canceled")


def test_output_survives_lost_requests_and_answers(server: FakeServer, tmp_path: Path) -> None:
    """Every fault in turn while a megabyte is sent: each byte arrives once."""
    server.fail("logs", DROP_BEFORE, DROP_AFTER, BUSY, DROP_AFTER, DROP_AFTER, DROP_BEFORE)
    execution = server.add("head -c 1500000 /dev/zero | tr '\\0' x; echo end")
    with working(server, tmp_path):
        done(server, execution)
    assert execution.stdout.data == b"x" * 1_500_000 + b"end\n"


def test_bytes_the_server_has_lost_are_sent_again(server: FakeServer, tmp_path: Path) -> None:
    """A server that claims more than it has gets all of it: the folder still has every byte."""
    server.fail("logs", (200, {"next_offset": 4, "cancel_requested": False}))
    execution = server.add(["printf", "one\ntwo\n"])
    with working(server, tmp_path):
        done(server, execution)
    assert (execution.stdout.omitted, execution.stdout.data) == (None, b"one\ntwo\n")


def test_output_streams_while_the_command_runs(server: FakeServer, tmp_path: Path) -> None:
    """The first line is at the server before the command ends."""
    execution = server.add("echo first; exec sleep 60")
    with working(server, tmp_path):
        server.wait_for(lambda: execution.stdout.data == b"first\n")
        assert not execution.reports
        server.cancel(execution)
        done(server, execution)


def test_output_over_the_servers_cap_is_left_out_and_the_outcome_told(
    server: FakeServer, tmp_path: Path
) -> None:
    """A server that keeps less than we would gets what it takes, and the rest as left out."""
    server.kept_max = 300_000
    execution = server.add("head -c 1000000 /dev/zero")
    with working(server, tmp_path):
        done(server, execution)
    assert execution.stdout.omitted is not None
    assert execution.stdout.next_offset == 1_000_000 == execution.report["stdout_bytes"]


def test_an_outcome_is_told_without_lengths_when_the_output_is_refused(
    server: FakeServer, tmp_path: Path
) -> None:
    """Output that the server never takes does not keep it from hearing how the command ended."""
    server.fail("logs", problem(404, "resource_not_found", "there is no such lease"))
    server.replies["complete"] = [(200, {})]
    server.add("echo hello; exit 4")
    with working(server, tmp_path):
        server.wait_for(lambda: server.seen("complete"))
    (request,) = server.seen("complete")
    report = request.json()
    assert report["exit_code"] == 4
    assert not {"stdout_bytes", "stdout_sha256", "stderr_bytes"} & report.keys()


def test_a_cancel_ends_the_command_at_once(server: FakeServer, tmp_path: Path) -> None:
    """The long poll of the heartbeat brings the cancel, long before a period is over."""
    execution = server.add("exec sleep 60")
    with working(server, tmp_path):
        server.wait_for(lambda: execution.heartbeats)
        server.cancel(execution)
        done(server, execution)
    report = execution.report
    assert (report["outcome"], report["signal"], report["exit_code"]) == ("canceled", 15, 143)
    assert report["duration_ms"] < 9_000


def test_a_server_that_is_away_does_not_end_the_command(server: FakeServer, tmp_path: Path) -> None:
    """Failed heartbeats are repeated while the command goes on; a later cancel arrives."""
    server.fail("heartbeat", DROP_BEFORE, BUSY, DROP_BEFORE)
    execution = server.add("exec sleep 60")
    with working(server, tmp_path) as worker:
        server.wait_for(lambda: execution.heartbeats)
        assert not execution.reports
        server.cancel(execution)
        done(server, execution)
    assert execution.report["outcome"] == "canceled"
    assert len([line for line in worker.lines if "goes on without the server" in line]) == 1


def test_a_timeout_is_reported_as_such(server: FakeServer, tmp_path: Path) -> None:
    """The agent enforces the timeout itself."""
    execution = server.add("exec sleep 60", timeout_seconds=1)
    with working(server, tmp_path):
        done(server, execution)
    assert (execution.report["outcome"], execution.report["exit_code"]) == ("timed_out", 143)


def test_a_lost_lease_does_not_end_the_command(server: FakeServer, tmp_path: Path) -> None:
    """The command goes on to its true end, which is told; what the server refuses is kept."""
    execution = server.add(
        "echo up; while [ ! -e go ]; do sleep 0.02; done", working_dir=str(tmp_path)
    )
    with working(server, tmp_path) as worker:
        server.wait_for(lambda: execution.stdout.data and execution.heartbeats)
        server.lose_lease(execution)
        eventually(lambda: any("heartbeat refused" in one for one in worker.lines), "a refusal")
        assert not server.seen("complete")
        (tmp_path / "go").touch()
        server.wait_for(lambda: server.seen("complete"))
    report = server.seen("complete")[0].json()
    assert (report["exit_code"], report["error"]) == (0, None)
    assert any("not recorded: the lease is gone" in line for line in worker.lines)
    reason = json.loads((tmp_path / "refused" / execution.id / "reason.json").read_bytes())
    assert reason == {"reason": "the lease is gone"}


def test_a_lost_lease_ends_a_command_that_asked_for_it(server: FakeServer, tmp_path: Path) -> None:
    """With `stop_when_cut_off` nothing runs on that the ledger has given up."""
    execution = server.add("exec sleep 60", stop_when_cut_off=True)
    with working(server, tmp_path):
        server.wait_for(lambda: execution.heartbeats)
        server.lose_lease(execution)
        server.wait_for(lambda: server.seen("complete"))
    report = server.seen("complete")[0].json()
    assert (report["signal"], report["error"]) == (
        15,
        "ended because its agent had lost the lease",
    )


def test_a_command_that_asked_for_it_is_ended_when_it_is_cut_off(
    server: FakeServer, tmp_path: Path
) -> None:
    """Before the lease runs out, while the server cannot be reached; the report says why."""
    server.heartbeat_seconds = 1.5
    execution = server.add("exec sleep 60", stop_when_cut_off=True)
    server.fail("heartbeat", *[DROP_BEFORE] * 1000)
    with working(server, tmp_path):
        done(server, execution)
    report = execution.report
    assert report["error"] == "ended because its agent could not renew the lease"
    assert 2_250 < report["duration_ms"] < 4_500


def test_the_outcome_is_repeated_until_it_is_recorded(server: FakeServer, tmp_path: Path) -> None:
    """Lost answers and a busy server do not lose an outcome; each report is the same."""
    server.fail("complete", DROP_BEFORE, BUSY, DROP_AFTER, DROP_AFTER)
    execution = server.add("exit 9")
    with working(server, tmp_path):
        server.wait_for(lambda: len(execution.reports) >= 3)
    assert execution.report["exit_code"] == 9


def test_bytes_the_server_misses_at_the_end_are_sent_again(
    server: FakeServer, tmp_path: Path
) -> None:
    """A report that the server cannot match with its bytes leads to a resend, not to a loss."""
    missing = problem(409, "conflict", "output is missing", expected_offset=0)
    server.fail("complete", missing)
    execution = server.add("echo hello")
    with working(server, tmp_path):
        done(server, execution)
    assert execution.stdout.data == b"hello\n"
    assert "logs" in [request.kind for request in server.requests][-5:]


def test_what_cannot_be_started_is_reported(server: FakeServer, tmp_path: Path) -> None:
    """127 with a sentence, as an outcome."""
    execution = server.add(["/no/such/program"])
    with working(server, tmp_path):
        done(server, execution)
    report = execution.report
    assert (report["exit_code"], report["failure_reason"]) == (127, "spawn_failed")
    assert report["error"] == "/no/such/program: not found"


def test_a_refused_token_ends_the_agent(server: FakeServer, tmp_path: Path) -> None:
    """401 is final: the agent says so and ends instead of asking for ever."""
    refused = problem(401, "invalid_token", "the access token is not known")
    server.fail("claim", *[refused] * 4)
    worker = Worker(server, tmp_path)
    worker.agent.start()
    assert worker.idle.wait(DEADLINE_SECONDS)
    assert worker.agent.refusal is not None
    assert any("not known" in line for line in worker.lines)
