"""`cronledger list`, against a small server with prepared answers."""

from collections.abc import Iterator
from typing import Any

import pytest

from cli.main import main
from tests.support.fake_server import TOKEN, FakeServer, serving


def _pending(number: int, held: str | None) -> dict[str, Any]:
    return {
        "id": f"exec_{number}",
        "job_name": "backup",
        "status": "pending",
        "exit_code": None,
        "created_at": "2026-01-31T12:00:00.000Z",
        "started_at": None,
        "duration_ms": 0,
        "triggered_by": "manual",
        "held": held,
    }


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeServer]:
    with serving() as fake:
        monkeypatch.setenv("CRONLEDGER_URL", fake.url)
        monkeypatch.setenv("CRONLEDGER_TOKEN", TOKEN)
        yield fake


def test_what_waits_for_others_says_so(
    server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of two pending executions the held one shows what holds it, so that one sees why."""
    page = {"total": 2, "total_is_exact": True, "has_more": False, "next_cursor": None}
    data = [_pending(2, "max_concurrent"), _pending(1, None)]
    server.replies["list"] = [(200, {"data": data, "pagination": page})]
    assert main(["list"]) == 0
    _, held, other, *_ = capsys.readouterr().out.splitlines()
    assert "pending (max_concurrent)" in held
    assert "(" not in other
