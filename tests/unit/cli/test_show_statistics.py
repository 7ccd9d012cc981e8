"""`cronledger stats`, against a small server with prepared answers."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from cli.main import main
from tests.support.fake_server import TOKEN, FakeServer, serving

SUMMARY: dict[str, Any] = {
    "job_id": "backup",
    "starts_at": None,
    "ends_at": None,
    "ended": 2000,
    "by_status": {"success": 1999, "failed": 1, "timeout": 0, "canceled": 0},
    "success_rate": 0.9995,
    "duration_ms": {"p50": 90, "p95": 61_000, "max": 3_700_000},
    "last_success_at": "2026-01-31T02:00:00.000Z",
    "last_failure_at": None,
}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeServer]:
    with serving() as fake:
        monkeypatch.setenv("CRONLEDGER_URL", fake.url)
        monkeypatch.setenv("CRONLEDGER_TOKEN", TOKEN)
        yield fake


def test_each_job_has_a_line(server: FakeServer, capsys: pytest.CaptureFixture[str]) -> None:
    """Without options: each job, of all time; a rate is never rounded up to 100 %."""
    server.replies["get"] = [(200, {"data": [SUMMARY]})]
    assert main(["stats"]) == 0
    head, line = capsys.readouterr().out.splitlines()
    assert "FROM" not in head
    for shown in ("backup", "2000", "99.9 %", "90 ms", "1 min 01 s", "2026-01-31 02:00:00"):
        assert shown in line
    asked = server.requests[-1]
    assert (asked.path, asked.query) == ("/v1/cron-executions/stats", {"group_by": "job"})


def test_intervals_show_when_they_begin(
    server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """By hour or day there is a column for that, and all jobs together have no name."""
    one = SUMMARY | {"job_id": None, "starts_at": "2026-01-31T02:00:00.000Z"}
    never = one | {"success_rate": None, "duration_ms": dict.fromkeys(("p50", "p95", "max"))}
    server.replies["get"] = [(200, {"data": [one, never]})]
    arguments = ["--interval", "hour", "--from", "2026-01-31", "--group-by", "all"]
    assert main(["stats", "--job-id", "a", "--job-id", "b", *arguments]) == 0
    head, line, other = capsys.readouterr().out.splitlines()
    assert "FROM (UTC)" in head
    assert "2026-01-31 02:00 " in line
    assert "(all)" in line
    assert " -  " in other
    # Of a repeated parameter the server in these tests keeps the last.
    expected = {"job_id": "b", "from": "2026-01-31", "interval": "hour", "group_by": "all"}
    assert server.requests[-1].query == expected


def test_nothing_is_said_and_json_is_passed_on(
    server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without anything there is a sentence; programs get what the server said."""
    server.replies["get"] = [(200, {"data": []}), (200, {"data": [SUMMARY]})]
    assert main(["stats"]) == 0
    assert capsys.readouterr().out == "nothing has ended\n"
    assert main(["stats", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"data": [SUMMARY]}
