"""How an agent stops: what runs, what waits, what it is still asked to do."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fake_server import (
    DROP_AFTER,
    FakeServer,
    serving,
)
from tests.support.workers import DEADLINE_SECONDS, Worker, done, working


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with serving() as fake:
        yield fake


def test_a_stopped_agent_ends_and_reports_what_runs(server: FakeServer, tmp_path: Path) -> None:
    """Stop: SIGTERM to the command, its end reported with the reason, no claim afterwards."""
    execution = server.add("trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.05; done")
    with working(server, tmp_path):
        server.wait_for(lambda: execution.stdout.data)
    report = execution.report
    assert (report["outcome"], report["failure_reason"]) == ("exited", "agent_shutdown")
    assert execution.stdout.data == b"up\nbye\n"


def test_a_hurried_agent_kills_what_runs(server: FakeServer, tmp_path: Path) -> None:
    """The second request to stop does not wait for the grace."""
    execution = server.add("trap '' TERM; echo up; while :; do sleep 1; done")
    with working(server, tmp_path) as worker:
        server.wait_for(lambda: execution.stdout.data)
        worker.agent.hurry()
        done(server, execution)
    assert (execution.report["signal"], execution.report["failure_reason"]) == (
        9,
        "agent_shutdown",
    )


def test_a_stopping_agent_takes_nothing_new(server: FakeServer, tmp_path: Path) -> None:
    """The claim that waits is cut, and then only asked what it got, which is nothing."""
    with working(server, tmp_path, concurrency=1) as worker:
        server.wait_for(lambda: server.seen("claim"))
        worker.agent.stop()
        assert worker.idle.wait(DEADLINE_SECONDS)
    first, last = server.seen("claim")[0], server.seen("claim")[-1]
    assert (first.json()["settle"], last.json()["settle"]) == (False, True)
    assert first.headers["claim-id"] == last.headers["claim-id"]


def test_what_a_cut_claim_got_is_handed_back(server: FakeServer, tmp_path: Path) -> None:
    """An execution that was granted in that moment is reported unrun, so that it does not hang."""
    server.fail("claim", DROP_AFTER)
    execution = server.add("true")
    worker = Worker(server, tmp_path, concurrency=1)
    worker.agent.start()
    server.wait_for(lambda: execution.status == "running")
    worker.agent.stop()
    done(server, execution)
    assert execution.report["failure_reason"] == "agent_shutdown"
    assert worker.idle.wait(DEADLINE_SECONDS)
