"""Rules of a run that an agent cannot even begin."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from agent.assignment import Assignment, Settings
from agent.client import Client
from agent.lease import EXECUTIONS
from agent.work import Work
from tests.support.fake_server import TOKEN, serving


def attempt(tmp_path: Path, user: str | None = None) -> tuple[Mapping[str, Any], list[str]]:
    """Claim an execution and let an agent work at it; return its report and what was logged."""
    lines: list[str] = []
    with serving() as server:
        execution = server.add("true")
        client = Client(server.url, TOKEN)
        claim = {"agent_id": "here", "wait_seconds": 0}
        answer = client.post(f"{EXECUTIONS}/claim", claim, headers={"Claim-Id": "1"}).json()
        settings = Settings("here", tmp_path / "runs", user=user)
        Work(settings, lines.append).carry_out(Assignment.from_answer(answer, 0), client)
        client.close()
    return execution.report, lines


def test_a_user_that_has_gone_is_reported_and_leaves_nothing(tmp_path: Path) -> None:
    """The execution fails with a sentence, and no folder keeps anybody busy."""
    report, _ = attempt(tmp_path, "no-such-user")
    assert report["failure_reason"] == "spawn_failed"
    assert "there is no user 'no-such-user' here" in report["error"]
    assert not (tmp_path / "runs").exists()


def test_the_agent_says_why_a_supervisor_has_died(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last line of its log is there to be read when its folder has gone."""
    monkeypatch.setattr("agent.supervised._PROGRAM", "raise ImportError('no module of that name')")
    report, lines = attempt(tmp_path)
    assert report["failure_reason"] == "spawn_failed"
    assert "exec_0: its supervisor has died: ImportError: no module of that name" in lines
