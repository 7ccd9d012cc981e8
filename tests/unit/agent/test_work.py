"""Rules of a run that an agent cannot even begin."""

from pathlib import Path

from agent.assignment import Assignment, Settings
from agent.client import Client
from agent.lease import EXECUTIONS
from agent.work import Work
from tests.support.fake_server import TOKEN, serving


def test_a_user_that_has_gone_is_reported_and_leaves_nothing(tmp_path: Path) -> None:
    """The execution fails with a sentence, and no folder keeps anybody busy."""
    with serving() as server:
        # given
        execution = server.add("true")
        client = Client(server.url, TOKEN)
        claim = {"agent_id": "here", "wait_seconds": 0}
        answer = client.post(f"{EXECUTIONS}/claim", claim, headers={"Claim-Id": "1"}).json()
        settings = Settings("here", tmp_path / "runs", user="no-such-user")
        # when
        Work(settings, lambda _line: None).carry_out(Assignment.from_answer(answer, 0), client)
        client.close()
    # then
    assert execution.report["failure_reason"] == "spawn_failed"
    assert "there is no user 'no-such-user' here" in execution.report["error"]
    assert not (tmp_path / "runs").exists()
