"""Rules of delivering what waits in a spool: in order, as it was, and no run holds up another."""

import os
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from agent.backlog import FAILURES_MAX, Backlog
from agent.client import Client
from agent.lease import create
from agent.run_folder import DELIVERING, ENDING, LEASE, RUN, RUNNING, RunFolder
from agent.spool import Spool
from tests.support.fake_server import TOKEN, FakeServer, Reply, problem, serving

DAY_SECONDS = 86_400


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with serving() as fake:
        yield fake


@pytest.fixture
def client(server: FakeServer) -> Iterator[Client]:
    client = Client(server.url, TOKEN)
    yield client
    client.close()


def kept(spool: Spool, name: str, started_at: float, **ending: Any) -> RunFolder:
    """A run that is over and waits; nobody saw its end unless that is given."""
    folder, (running,) = RunFolder.make(spool.runs, name, RUNNING)
    os.close(running)
    create = {"id": name, "job_name": "nightly", "claim": {"agent_id": "here"}}
    folder.write(RUN, {"create": create, "started_at": started_at})
    if ending:
        folder.write(ENDING, {"outcome": "exited", "exit_code": 0, "streams": {}, **ending})
    return folder


def ended_at(server: FakeServer, name: str) -> float:
    """When the server was told that it ended, as a Unix time."""
    return datetime.fromisoformat(server.executions[name].report["ended_at"]).timestamp()


def test_a_run_that_nobody_saw_end_did_not_end_when_it_was_told(
    server: FakeServer, client: Client, tmp_path: Path
) -> None:
    """Killed a day ago: what the delivery writes is no sign of life."""
    # given
    spool = Spool(tmp_path)
    yesterday = round(time.time() - DAY_SECONDS)
    folder = kept(spool, "exec_1", yesterday)
    os.utime(folder.path / RUN, (yesterday, yesterday + 5))
    # when
    assert Backlog(spool, client, print).carry_out()
    # then
    assert ended_at(server, "exec_1") == yesterday + 5
    assert server.executions["exec_1"].report["duration_ms"] == 5000


def test_a_clock_that_stepped_back_makes_no_end_before_the_beginning(
    server: FakeServer, client: Client, tmp_path: Path
) -> None:
    """The end is the beginning and the duration, whatever the clock said at the end."""
    spool = Spool(tmp_path)
    kept(spool, "exec_1", 1_000_000, ended_at=900_000, duration_ms=1500)
    assert Backlog(spool, client, print).carry_out()
    assert ended_at(server, "exec_1") == 1_000_001.5


@pytest.mark.parametrize(
    ("fault", "delivered"),
    [
        (problem(403, "forbidden", "not yours"), {"exec_2"}),
        (problem(500, "internal_error", "a bug"), {"exec_2"}),
        (problem(401, "invalid_token", "not known"), set()),
        (problem(503, "unavailable", "not now"), set()),
    ],
)
def test_what_is_about_one_run_holds_up_no_other(
    server: FakeServer, client: Client, tmp_path: Path, fault: Reply, delivered: set[str]
) -> None:
    """The first run is refused for now; the next is told unless that was about all of them."""
    spool = Spool(tmp_path)
    for name in ("exec_1", "exec_2"):
        kept(spool, name, 0, duration_ms=0)
    server.fail("create", fault)
    assert not Backlog(spool, client, print).carry_out()
    assert set(server.executions) == delivered


@pytest.mark.parametrize("kind", ["complete", "logs"])
def test_a_run_that_always_fails_holds_up_no_other(
    server: FakeServer, client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """An error of the server that lasts is about that run: those behind it have their turn."""
    # given
    monkeypatch.setattr("agent.backoff.Backoff.next_delay", lambda *_: 0.0)
    spool = Spool(tmp_path)
    first = kept(spool, "exec_1", 0, duration_ms=0)
    (first.path / "stdout.0").write_bytes(b"output")
    kept(spool, "exec_2", 0, duration_ms=0)
    server.fail(kind, *[problem(500, "internal_error", "a bug")] * FAILURES_MAX)
    lines: list[str] = []
    backlog = Backlog(spool, client, lines.append)
    # when
    assert not backlog.carry_out()
    # then
    assert lines[-2:] == [
        "exec_1: a run of exec, not recorded yet: a bug",
        "exec_2: a run of exec, recorded",
    ]
    assert backlog.carry_out()
    assert server.executions["exec_1"].reports


def test_a_spool_that_others_can_write_to_is_not_delivered(
    server: FakeServer, client: Client, tmp_path: Path
) -> None:
    """What may not be ours is not told in our name; the reason is said."""
    spool = Spool(tmp_path)
    kept(spool, "exec_1", 0, duration_ms=0)
    tmp_path.chmod(0o777)
    with pytest.raises(PermissionError, match="is not ours alone"):
        Backlog(spool, client, print).carry_out()
    assert server.requests == []


def test_what_a_killed_exec_left_hidden_is_removed(client: Client, tmp_path: Path) -> None:
    """Who died before anybody could see its run leaves no folder for ever."""
    spool = Spool(tmp_path)
    kept(spool, ".exec_1", 0)
    long_ago = time.time() - DAY_SECONDS
    os.utime(tmp_path / "runs" / ".exec_1", (long_ago, long_ago))
    assert Backlog(spool, client, print).carry_out()
    assert list((tmp_path / "runs").iterdir()) == []


def test_why_a_run_waits_is_logged_once(server: FakeServer, client: Client, tmp_path: Path) -> None:
    """A round that meets the same obstacle says nothing new."""
    spool = Spool(tmp_path)
    kept(spool, "exec_1", 0, duration_ms=0)
    server.fail("create", *[problem(403, "forbidden", "not yours")] * 2)
    lines: list[str] = []
    backlog = Backlog(spool, client, lines.append)
    assert [backlog.carry_out() for _ in range(3)] == [False, False, True]
    assert lines == [
        "exec_1: a run of exec, not recorded yet: not yours",
        "exec_1: a run of exec, recorded",
    ]


def test_a_folder_that_cannot_be_used_holds_up_no_other(
    server: FakeServer, client: Client, tmp_path: Path
) -> None:
    """An error of the disk in one folder is about that one."""
    spool = Spool(tmp_path)
    broken = kept(spool, "exec_1", 0, duration_ms=0)
    (broken.path / "lease.json.new").mkdir()
    kept(spool, "exec_2", 0, duration_ms=0)
    assert not Backlog(spool, client, print).carry_out()
    assert server.executions["exec_2"].reports


@pytest.mark.parametrize(("ago_seconds", "is_told"), [(0.0, False), (60.0, True)])
def test_an_end_that_is_told_of_late_is_told_with_its_time(
    server: FakeServer,
    client: Client,
    tmp_path: Path,
    ago_seconds: float,
    is_told: bool,  # noqa: FBT001 - pytest's
) -> None:
    """Also if the server heard of the beginning; what is told at once ends when it is heard."""
    spool, ended = Spool(tmp_path), time.time() - ago_seconds
    folder = kept(spool, "exec_1", ended - 5, duration_ms=5000)
    lease = create(client, folder.read(RUN)["create"], 5.0)  # type: ignore[index]  # it is there
    folder.write(LEASE, {"lease": lease.document(), "told_late": False})

    assert Backlog(spool, client, print).carry_out()

    assert ("ended_at" in server.executions["exec_1"].report) == is_told
    if is_told:
        assert ended_at(server, "exec_1") == pytest.approx(ended, abs=0.001)


def test_a_run_that_goes_while_it_is_looked_at_is_nothing_to_tell_of(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own `exec` delivered and removed it after it was listed."""
    spool = Spool(tmp_path)
    folder = kept(spool, "exec_1", 0, duration_ms=0)

    def waiting() -> Iterator[RunFolder]:
        folder.remove()
        yield folder

    monkeypatch.setattr(spool, "waiting", waiting)
    lines: list[str] = []

    assert Backlog(spool, client, lines.append).carry_out()
    assert lines == []


def test_what_is_on_its_way_is_not_dropped(tmp_path: Path) -> None:
    """A spool that is too full leaves alone what somebody delivers."""
    spool = Spool(tmp_path, runs_max=0)
    folder = kept(spool, "exec_1", 0, duration_ms=0)
    delivering = folder.lock(DELIVERING)
    assert delivering is not None
    assert spool.trim() is None
    os.close(delivering)
    assert spool.trim() is not None
    assert not folder.path.exists()


def test_a_report_that_is_kept_as_late_is_recorded(
    server: FakeServer, client: Client, tmp_path: Path
) -> None:
    """The code says so, whatever the sentence."""
    spool = Spool(tmp_path)
    kept(spool, "exec_1", 0, duration_ms=0)
    server.fail("complete", problem(409, "kept_as_late_outcome", "it is in its history"))
    lines: list[str] = []
    assert Backlog(spool, client, lines.append).carry_out()
    assert lines == ["exec_1: a run of exec, recorded"]
