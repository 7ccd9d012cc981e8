"""The client commands against a real server: tables for people, JSON for programs, exit codes."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.agents import cronledger, cronledger_here
from tests.support.calls import Held, fresh
from tests.support.following import Live
from tests.support.server import ServerProcess
from tests.support.tokens import owner_conninfo

NOT_THERE = "exec_01k00000000000000000000000"


def said(quick: ServerProcess, *words: str, code: int = 0) -> str:
    """What a command prints; its exit code must be the one expected."""
    done = cronledger_here(quick, *words)
    assert done.returncode == code, done.stderr.decode()
    assert b"Traceback" not in done.stderr
    assert (done.stderr != b"") == (code != 0)
    return done.stdout.decode()


def told(quick: ServerProcess, *words: str) -> Any:
    """What a command prints with --json."""
    return json.loads(said(quick, *words, "--json"))


@pytest.fixture
def failed(quick: ServerProcess) -> Held:
    """An execution that has failed, with output on both streams."""
    held = quick.api.start()
    held.append(b"one\ntwo\nthree \xff\n").ok()
    held.append(b"no luck\n", stream="stderr").ok()
    held.complete(outcome="exited", exit_code=3).ok()
    return held


def test_list_shows_what_the_api_lists(quick: ServerProcess, failed: Held) -> None:
    """A table with the id and the status; --json is the server's own answer; filters narrow it."""
    job = failed.execution["job_id"]
    table = said(quick, "list", "--job-id", job)
    assert failed.id in table
    assert "failed" in table
    page = told(quick, "list", "--job-id", job, "--status", "failed", "--limit", "5")
    assert page == quick.api.get("", {"job_id": job, "status": "failed", "limit": 5}).json()
    assert told(quick, "list", "--job-id", job, "--status", "success")["data"] == []
    assert failed.id not in said(quick, "list", "--job-id", fresh("other"))


def test_get_and_events_show_one_execution(quick: ServerProcess, failed: Held) -> None:
    """People read the facts, programs get the object."""
    shown = said(quick, "get", failed.id)
    for fact in (failed.id, "failed, exit code 3", "no luck", "two"):
        assert fact in shown
    assert told(quick, "get", failed.id) == quick.api.one(failed.id)
    assert "execution.completed" in said(quick, "events", failed.id)
    assert told(quick, "events", failed.id)["data"] == quick.api.events(failed.id)


def test_logs_are_raw_bytes(quick: ServerProcess, failed: Held) -> None:
    """Byte for byte, either stream, or the last lines."""
    assert cronledger(quick, "logs", failed.id).stdout == b"one\ntwo\nthree \xff\n"
    assert cronledger(quick, "logs", failed.id, "--stream", "stderr").stdout == b"no luck\n"
    assert cronledger(quick, "logs", failed.id, "--tail", "1").stdout == b"three \xff\n"


def test_retry_and_cancel_do_what_they_say(quick: ServerProcess, failed: Held) -> None:
    """Retry makes a new execution, cancel ends it; both tell its id."""
    new = told(quick, "retry", failed.id)
    assert (new["retry_of"], new["triggered_by"]) == (failed.id, "retry")
    assert new["id"] in said(quick, "cancel", new["id"])
    assert quick.api.one(new["id"])["status"] == "canceled"
    other = said(quick, "retry", failed.id).split()[0]
    assert quick.api.one(other)["retry_of"] == failed.id
    assert told(quick, "cancel", other)["status"] == "canceled"


def test_erase_takes_and_the_past_stays(quick: ServerProcess, failed: Held) -> None:
    """Output goes, the table says so; the state of before is still shown, and what is kept."""
    started = next(e for e in quick.api.events(failed.id) if e["type"] == "execution.started")
    then = str(started["position"])
    assert said(quick, "erase", failed.id).split()[0] == failed.id
    shown = said(quick, "get", failed.id)
    assert "erased" in shown
    assert "two" not in shown
    assert said(quick, "logs", failed.id, code=1) == ""
    everything = ("erase", failed.id, "--everything", "--shared", "--reason", "secret")
    assert told(quick, *everything)["configuration_erased"]
    assert said(quick, "erase", NOT_THERE, code=1) == ""
    assert "running" in said(quick, "get", failed.id, "--as-of", then)
    job = failed.execution["job_id"]
    past = said(quick, "list", "--as-of", then, "--job-id", job)
    assert "running" in past
    assert f"as of position {then}" in past
    assert said(quick, "list", "--as-of", "soon", code=1) == ""
    assert "WOULD GO" in said(quick, "retention", "--dry-run")
    assert told(quick, "retention")["success"]["days"] is None


def test_exit_codes_tell_why(quick: ServerProcess, failed: Held) -> None:
    """1 refused, 2 usage, 3 unreachable, 4 not authorised, each with a sentence."""
    assert said(quick, "get", NOT_THERE, code=1) == ""
    assert said(quick, "cancel", failed.id, code=1) == ""
    assert said(quick, "list", "--limit", "101", code=1) == ""
    for words in (("list", "--status", "broken"), ("get",), ("nonsense",), ("exec", "--job", "x")):
        assert said(quick, *words, code=2) == ""
    away = cronledger(quick, "list", settings={"CRONLEDGER_URL": "http://127.0.0.1:9"})
    assert (away.returncode, away.stdout) == (3, b"")
    assert b"127.0.0.1:9" in away.stderr
    for settings in ({"CRONLEDGER_TOKEN": "clk_wrong"}, {"CRONLEDGER_HOME": "/nonexistent"}):
        settings |= {"CRONLEDGER_URL": quick.url}
        refused = cronledger(quick, "list", settings=settings)
        assert (refused.returncode, refused.stdout) == (4, b"")
        assert b"CRONLEDGER_TOKEN" in refused.stderr


def test_a_token_is_made_listed_and_revoked(quick: ServerProcess) -> None:
    """Create prints only the token; list never shows it; after revoke it opens nothing."""
    name = fresh("token")
    words = ("--name", name, "--scope", "read", "--scope", "agent", "--agent-id", "a1")
    made = cronledger(quick, "token", "create", *words, "--expires-in-days", "7")
    assert made.returncode == 0
    secret = made.stdout.decode().strip()
    assert made.stdout.decode() == secret + "\n"
    assert secret.startswith("clk_")
    assert secret not in made.stderr.decode()
    client = quick.api.with_token(secret)
    client.get().ok()
    client.post("", {"job_name": "n", "command": "c"}).ok(403)
    (row,) = [one for one in told(quick, "token", "list") if one["name"] == name]
    assert (row["scopes"], row["agent_id"], row["state"]) == ("agent,read", "a1", "active")
    assert row["expires_at"]
    table = said(quick, "token", "list")
    assert name in table
    assert secret not in table
    assert cronledger(quick, "token", "revoke", row["id"]).returncode == 0
    client.get().ok(401)
    assert said(quick, "token", "revoke", "tok_none", code=1) == ""
    (row,) = [one for one in told(quick, "token", "list") if one["name"] == name]
    assert row["state"] == "revoked"


def test_token_says_in_a_sentence_what_keeps_it_from_the_database(
    quick: ServerProcess, tmp_path: Path
) -> None:
    """A wrong setting is 2, no key or another than the ledger's 3; none is a stack trace."""
    wrong = cronledger(quick, "token", "list", settings={"CRONLEDGER_LEASE_SECONDS": "0"})
    assert (wrong.returncode, wrong.stdout) == (2, b"")
    settings = {
        "CRONLEDGER_HOME": str(tmp_path / "other"),
        "CRONLEDGER_DATABASE_URL": owner_conninfo(quick),
    }
    missing = cronledger(quick, "token", "list", settings=settings)
    assert (missing.returncode, missing.stdout) == (3, b"")
    assert not (tmp_path / "other").exists()
    settings["CRONLEDGER_SECRET_KEY"] = "ab" * 32
    refused = cronledger(quick, "token", "list", settings=settings)
    assert (refused.returncode, refused.stdout) == (3, b"")
    assert b"key" in refused.stderr
    for done in (wrong, missing, refused):
        assert done.stderr.startswith(b"cronledger: ")
        assert b"Traceback" not in done.stderr


def test_a_token_with_an_empty_scope_or_name_is_refused(quick: ServerProcess) -> None:
    """Usage errors are exit code 2 and make nothing."""
    before = {token["id"] for token in told(quick, "token", "list")}
    for words in (
        ("token", "create", "--name", "x"),
        ("token", "create", "--name", "x", "--scope", "all"),
        ("token", "create", "--name", "x", "--scope", "read", "--expires-in-days", "0"),
        ("token", "create", "--name", "x", "--scope", "read", "--expires-in-days", "9999999"),
        ("token", "create", "--name", "x", "--scope", "agent"),
        ("token", "create", "--name", "x", "--scope", "agent", "--agent-id", "no name"),
        ("token",),
    ):
        assert said(quick, *words, code=2) == ""
    assert {token["id"] for token in told(quick, "token", "list")} == before


def test_logs_are_followed_to_the_end(quick: ServerProcess) -> None:
    """Both streams byte for byte; what its agent abandons ends by the server's word."""
    held = quick.api.start()
    held.append(b"one\0\xff\n").ok()
    held.append(b"two\n", stream="stderr").ok()
    followed = cronledger(quick, "logs", "-f", held.id)
    assert (followed.returncode, followed.stdout, followed.stderr) == (0, b"one\0\xff\n", b"two\n")
    assert quick.api.one(held.id)["failure_reason"] == "agent_lost"
    with Live(quick.api, held.id) as live:
        assert live.until("end")[-1].data == {"status": "failed", "exit_code": None}
