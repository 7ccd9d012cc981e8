"""`cronledger webhook` and `cronledger retries`, against a real server."""

import json
from collections.abc import Callable

import pytest

from cli.main import main
from tests.contract.test_jobs import made
from tests.contract.test_retries import LATER, failed, planned
from tests.support.calls import Api, eventually, fresh
from tests.support.receiver import running_receiver

Say = Callable[..., str]


@pytest.fixture
def say(api: Api, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Say:
    """Do a command as an admin, and return what it prints."""
    monkeypatch.setenv("CRONLEDGER_URL", api.url)
    monkeypatch.setenv("CRONLEDGER_TOKEN", api.token or "")

    def do(*words: str, code: int = 0) -> str:
        assert main(words) == code
        said = capsys.readouterr()
        return said.out if code == 0 else said.err

    return do


def test_a_webhook_from_its_first_day_to_its_last(say: Say) -> None:
    """Made, tested, looked at, told again, given another secret, deleted."""
    name = fresh("hook")
    with running_receiver() as receiver:
        made_one = say("webhook", "create", name, receiver.url, "--event", "missed", "--tag", name)
        secret = made_one.strip()
        assert say("webhook", "create", name, receiver.url, code=1).startswith("cronledger: There")
        assert "see `cronledger webhook deliveries`" in say("webhook", "test", name)
        eventually(lambda: "delivered" in say("webhook", "deliveries", name), "delivered")
        (received,) = receiver.received
        assert received.message["event"] == "test"
        assert received.is_signed_with(secret)
        listed = json.loads(say("webhook", "deliveries", name, "--json"))["data"]
        say("webhook", "redeliver", name, listed[0]["id"])
        eventually(lambda: len(receiver.received) == 2, "told again")
    assert name in say("webhook", "list")
    shown = say("webhook", "show", name)
    assert "missed" in shown
    assert secret not in shown
    assert say("webhook", "secret", name).strip() not in {secret, ""}
    assert say("webhook", "delete", name) == ""
    assert "no webhook" in say("webhook", "show", name, code=1)


def test_retries_to_come_are_listed(say: Say, api: Api) -> None:
    """A line for each, with when and of what."""
    job = made(api, agent_id=fresh("agent"), retry_config=LATER)
    execution = failed(api, job)
    eventually(lambda: planned(api, execution), "a planned retry")
    line = next(line for line in say("retries").splitlines() if execution in line)
    assert job["id"] in line
    assert "budget" not in line
