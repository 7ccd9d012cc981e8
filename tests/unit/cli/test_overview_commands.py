"""`cronledger missed` and `cronledger agents`, against a small server with prepared answers."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from cli.main import main
from tests.support.fake_server import TOKEN, FakeServer, serving

MISSED: dict[str, Any] = {
    "job_id": "job_1",
    "job_name": "back\x1bup",
    "expected_schedule": "0 3 * * *",
    "expected_timezone": "Europe/Berlin",
    "due_at": "2026-01-31T02:00:00.000Z",
    "last_execution": {
        "id": "exec_1",
        "status": "success",
        "created_at": "2026-01-30T02:00:01.000Z",
    },
}
AGENT: dict[str, Any] = {
    "agent_id": "web1",
    "last_seen_at": "2026-01-31T12:00:00.000Z",
    "version": None,
    "labels": ["gpu", "ssd"],
    "concurrency": 4,
    "token_bound": True,
    "running_count": 2,
    "running": ["exec_1", "exec_2"],
}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeServer]:
    with serving() as fake:
        monkeypatch.setenv("CRONLEDGER_URL", fake.url)
        monkeypatch.setenv("CRONLEDGER_TOKEN", TOKEN)
        yield fake


def test_what_is_missed_is_shown_and_is_no_success(
    server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """A line for each job, and the exit code 1, so that a check can call it."""
    server.replies["get"] = [(200, {"data": [MISSED]})]
    assert main(["missed"]) == 1
    head, line = capsys.readouterr().out.splitlines()
    assert head.split()[:2] == ["JOB", "SCHEDULE"]
    assert "\x1b" not in line
    for shown in ("0 3 * * * Europe/Berlin", "2026-01-31 02:00:00", "exec_1", "success"):
        assert shown in line
    assert server.requests[-1].path == "/v1/cron-executions/missed"


def test_nothing_missed_is_a_success(
    server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 0, and a sentence."""
    server.replies["get"] = [(200, {"data": []})]
    assert main(["missed"]) == 0
    assert capsys.readouterr().out == "every job that is expected has run\n"


@pytest.mark.parametrize(("data", "code"), [([MISSED], 1), ([], 0)])
def test_programs_get_json_and_the_same_exit_code(
    server: FakeServer, capsys: pytest.CaptureFixture[str], data: list[Any], code: int
) -> None:
    """The server's answer as it came."""
    server.replies["get"] = [(200, {"data": data})]
    assert main(["missed", "--json"]) == code
    assert json.loads(capsys.readouterr().out) == {"data": data}


def test_agents_are_shown_in_a_table(
    server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """What they are called, have and run."""
    server.replies["get"] = [(200, {"data": [AGENT]}), (200, {"data": []})]
    assert main(["agents"]) == 0
    line = capsys.readouterr().out.splitlines()[1]
    assert line.split() == ["web1", "2026-01-31", "12:00:00", "-", "gpu,ssd", "2", "4", "bound"]
    assert server.requests[-1].path == "/v1/agents"
    assert main(["agents"]) == 0
    assert capsys.readouterr().out == "no agent was seen in the last 30 days\n"


def test_agents_for_programs(server: FakeServer, capsys: pytest.CaptureFixture[str]) -> None:
    """The server's answer as it came."""
    server.replies["get"] = [(200, {"data": [AGENT]})]
    assert main(["agents", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"data": [AGENT]}
