"""A real server, a real agent and real commands: what they do is what the ledger says."""

import hashlib
import shlex
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.support import invariants
from tests.support.agents import (
    AgentProcess,
    cronledger,
    end_orphan,
    first_line,
    is_alive,
    running_agent,
    until_gone,
)
from tests.support.calls import eventually, fresh
from tests.support.server import ServerProcess, running_server
from tests.support.tokens import owner_conninfo

HALF = 5 * 1024 * 1024


def begin(quick: ServerProcess, agent: AgentProcess, command: Any, **fields: Any) -> str:
    """Create an execution for the agent; return its id."""
    made = quick.api.create(command=command, pinned_agent_id=agent.agent_id, **fields)
    return str(made["id"])


def ran(quick: ServerProcess, agent: AgentProcess, command: Any, **fields: Any) -> dict[str, Any]:
    """Have the agent run a command to its end; return the execution."""
    return quick.api.until_ended(begin(quick, agent, command, **fields))


def python(program: str) -> list[str]:
    """A command that runs a Python program."""
    return [sys.executable, "-c", program]


# ------------------------------------------------------------------------------------------ endings


@pytest.mark.parametrize(
    ("command", "ending"),
    [
        ("exit 0", ("success", 0, None)),
        (["true"], ("success", 0, None)),
        ("exit 3", ("failed", 3, "exit_code")),
        ("kill -9 $$", ("failed", 137, "signal")),
        (["/no/such/program"], ("failed", 127, "spawn_failed")),
        (["/etc/passwd"], ("failed", 126, "spawn_failed")),
    ],
)
def test_a_command_ends_as_it_ends(
    quick: ServerProcess, agent: AgentProcess, command: Any, ending: tuple[str, int, str | None]
) -> None:
    """Exit codes, signals and programs that are not there become the published statuses."""
    found = ran(quick, agent, command)
    assert (found["status"], found["exit_code"], found["failure_reason"]) == ending
    assert (found["error"] is None) == (found["status"] == "success")
    assert found["agent_id"] == agent.agent_id
    assert quick.api.types(found["id"]) == ["created", "started", "completed"]


def test_a_command_runs_where_and_with_what_it_was_given(
    quick: ServerProcess, agent: AgentProcess, top: Path
) -> None:
    """Shell text or words as they are, working directory, environment; nothing of the agent's."""
    found = ran(
        quick,
        agent,
        'pwd; echo "$GREETING"; echo "[$CRONLEDGER_TOKEN]"; echo "$CRONLEDGER_EXECUTION_ID" >&2',
        working_dir=str(top),
        environment={"GREETING": "Grüß Gott"},
    )
    assert found["output"] == f"{top}\nGrüß Gott\n[]\n"
    assert found["stderr"] == f"{found['id']}\n"
    words = ran(quick, agent, ["printf", "%s|", "a b", "$HOME", "'"])
    assert words["output"] == "a b|$HOME|'|"


def test_a_command_that_heeds_sigterm_times_out_in_its_own_words(
    quick: ServerProcess, agent: AgentProcess
) -> None:
    """SIGTERM first: what the command says then is kept."""
    command = "exec 2>&-; trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.02; done"
    found = ran(quick, agent, command, timeout_seconds=1)
    assert (found["status"], found["output"]) == ("timeout", "ready\nbye\n")
    assert found["error"] == "timed out after 1 s"
    assert found["duration_ms"] >= 1000
    assert quick.api.types(found["id"]) == ["created", "started", "timed_out"]


def test_a_stubborn_command_is_killed_with_its_whole_group(
    quick: ServerProcess, agent: AgentProcess
) -> None:
    """SIGKILL after the grace reaches children that ignore SIGTERM too."""
    command = "trap '' TERM; sh -c 'echo $$; while :; do sleep 0.1; done' & wait; sleep 60"
    found = ran(quick, agent, command, timeout_seconds=1)
    assert (found["status"], found["exit_code"], found["signal"]) == ("timeout", 137, 9)
    until_gone(int(found["output"]))


def test_a_cancel_is_honoured_at_once(quick: ServerProcess, agent: AgentProcess) -> None:
    """The agent hears of it in its waiting heartbeat, ends the command and confirms."""
    api = quick.api
    made = begin(quick, agent, "echo $$; exec sleep 60", timeout_seconds=100)
    pid = int(first_line(api, made))
    assert is_alive(pid)
    assert api.cancel(made).ok(202).json()["status"] == "running"
    found = api.until_ended(made, 2.5)  # the server itself would give up after three
    assert (found["status"], found["signal"]) == ("canceled", 15)
    assert api.events(made)[-1]["actor"].split(":")[0] != "server"
    until_gone(pid)


# ------------------------------------------------------------------------------------------ output


def test_output_is_seen_while_the_command_runs(
    quick: ServerProcess, agent: AgentProcess, top: Path
) -> None:
    """What was written stands in get and logs before the end."""
    go = top / "go"
    command = f"echo first; while [ ! -e {shlex.quote(str(go))} ]; do sleep 0.02; done; echo second"
    made = begin(quick, agent, command)
    seen = quick.api.until(made, lambda found: found["output"] == "first\n")
    assert seen["status"] == "running"
    assert quick.api.logs(made) == b"first\n"
    go.touch()
    assert quick.api.until_ended(made)["output"] == "first\nsecond\n"


def test_binary_output_is_exact(quick: ServerProcess, agent: AgentProcess) -> None:
    """All byte values, NUL and invalid UTF-8 arrive as they were written, on both streams."""
    program = (
        "import sys; sys.stdout.buffer.write(bytes(range(256)) * 1000 + b'\\xff\\xfe\\0\\xc3');"
        "sys.stderr.buffer.write(b'\\0\\xf0\\x28' + bytes(range(255, -1, -1)))"
    )
    found = ran(quick, agent, python(program))
    expected = bytes(range(256)) * 1000 + b"\xff\xfe\0\xc3"
    assert quick.api.logs(found["id"]) == expected
    assert quick.api.logs(found["id"], "stderr") == b"\0\xf0\x28" + bytes(range(255, -1, -1))
    assert found["output_bytes"] == len(expected)
    assert found["output"] == expected.decode(errors="replace")


def test_of_12_megabytes_head_and_tail_are_kept(quick: ServerProcess, agent: AgentProcess) -> None:
    """Half of the cap from each end, exact; the cut is marked, and says how much is missing."""
    lines = 12_000
    program = f"import sys; sys.stdout.write(''.join('%0999d\\n' % n for n in range({lines})))"
    found = ran(quick, agent, python(program))
    whole = b"".join(b"%0999d\n" % number for number in range(lines))
    raw = quick.api.get(f"/{found['id']}/logs").ok()
    assert raw.body == whole[:HALF] + whole[-HALF:]
    assert raw.headers["Output-Omitted"] == f"{HALF}-{len(whole) - HALF}"
    assert (found["status"], found["output_bytes"]) == ("success", len(whole))
    assert found["output_truncated"]
    missing = f"{len(whole) - 2 * HALF} bytes were left out"
    assert missing in found["output"]
    read = cronledger(quick, "logs", found["id"])
    assert read.stdout == quick.api.logs(found["id"])
    assert b"bytes of stdout were left out here" in read.stderr
    assert found["output"].startswith(whole[:1000].decode())
    assert found["output"].endswith(whole[-1000:].decode())


def test_secrets_reach_the_command_and_nobody_else(
    quick: ServerProcess, agent: AgentProcess
) -> None:
    """Not in any answer, not in what server and agent say, not in the database."""
    api, secret, plain = quick.api, fresh("geheim!'\""), fresh("open")
    found = ran(
        quick,
        agent,
        'printf %s "$PASSWORD" | md5sum | cut -c1-32; echo "$PLAIN"',
        environment={"PASSWORD": secret, "PLAIN": plain},
        secrets=["PASSWORD"],
    )
    digest = hashlib.md5(secret.encode(), usedforsecurity=False).hexdigest()
    assert found["output"] == f"{digest}\n{plain}\n"
    failing = ran(quick, agent, "exit 1", environment={"P": secret}, secrets=["P"])
    again = api.post(f"/{failing['id']}/retry").ok(201)
    api.until_ended(again.json()["id"])
    answers = [again.body, api.get("", {"limit": 100}).body]
    for one in (found["id"], failing["id"], again.json()["id"]):
        answers += [api.get(f"/{one}{rest}").ok().body for rest in ("", "/events", "/logs")]
    marks = secret.partition("!")[0], secret.rpartition('"')[2]
    assert not [body for body in answers if all(mark.encode() in body for mark in marks)]
    assert marks[1] not in quick.stderr
    assert marks[1] not in agent.stderr
    invariants.check(owner_conninfo(quick), secrets=[secret])


def test_secrets_in_output_are_masked_before_they_leave(
    quick: ServerProcess, agent: AgentProcess
) -> None:
    """As they are, in base64 and URL-encoded, in both streams; the record says so."""
    secret = "geheim/+ 42 Rosen!"  # of a length that base64 need not pad
    line = (
        'printf "<%s>" "$PASSWORD"; printf %s "$PASSWORD" | base64 -w0; printf " "; '
        'printf %s "$PASSWORD" >&2; exit 3'
    )
    found = ran(quick, agent, line, environment={"PASSWORD": secret}, secrets=["PASSWORD"])
    assert (found["status"], found["masked"]) == ("failed", True)
    assert quick.api.logs(found["id"]) == b"<[masked]>[masked] "
    assert quick.api.logs(found["id"], "stderr") == b"[masked]"
    invariants.check(owner_conninfo(quick), secrets=[secret])


# ------------------------------------------------------------------------------------------- agents


def test_an_agent_takes_what_asks_for_its_labels(quick: ServerProcess) -> None:
    """An execution waits for an agent that has the label; the agents' list says who has it."""
    label = fresh("label")
    created = quick.api.create(command="echo done", labels=[label], pinned_agent_id=None)
    with running_agent(quick, "--label", label) as labelled:
        ended = quick.api.until_ended(created["id"])
        known = eventually(lambda: _known(quick, labelled.agent_id), "the agent in the list")
    assert (ended["output"], ended["agent_id"]) == ("done\n", labelled.agent_id)
    assert (known["labels"], known["concurrency"]) == ([label], 4)


def _known(server: ServerProcess, agent_id: str) -> Any:
    agents = server.api.request("GET", "/v1/agents").ok().json()["data"]
    return next((one for one in agents if one["agent_id"] == agent_id), None)


def test_an_agent_leaves_what_is_pinned_to_another(
    quick: ServerProcess, agent: AgentProcess
) -> None:
    """A pinned execution waits for its agent while younger ones are run by this one."""
    elsewhere = quick.api.create(command="exit 1")
    anywhere = quick.api.create(command="true", pinned_agent_id=None)
    assert quick.api.until_ended(anywhere["id"])["agent_id"] == agent.agent_id
    assert ran(quick, agent, "true")["pinned_agent_id"] == agent.agent_id
    assert quick.api.one(elsewhere["id"])["status"] == "pending"
    quick.api.cancel(elsewhere["id"]).ok()


def test_a_retry_runs_the_same_command_again(
    quick: ServerProcess, agent: AgentProcess, top: Path
) -> None:
    """A command that fails the first time succeeds the second time, as a new execution."""
    command = f"cd {shlex.quote(str(top))} && mkdir done || exit 0; exit 1"
    failed = ran(quick, agent, command)
    assert failed["status"] == "failed"
    retried = quick.api.post(f"/{failed['id']}/retry").ok(201).json()
    found = quick.api.until_ended(retried["id"])
    assert (found["status"], found["attempt"], found["command"]) == ("success", 2, command)
    assert quick.api.one(failed["id"])["status"] == "failed"


def test_a_command_whose_agent_was_killed_is_lost(quick: ServerProcess) -> None:
    """Nobody saw the end: failed with `agent_lost` after the lease, and never run again."""
    api = quick.api
    with running_agent(quick) as victim:
        made = begin(quick, victim, "echo $$; exec sleep 60")
        pid = int(first_line(api, made))
        victim.kill()
    try:
        found = api.until_ended(made)
    finally:
        end_orphan(pid)
    assert (found["status"], found["failure_reason"]) == ("failed", "agent_lost")
    assert found["exit_code"] is None
    assert "agent lost" in found["error"]
    assert api.types(made) == ["created", "started", "lost"]


def test_an_agent_that_is_stopped_ends_its_commands_and_says_so(quick: ServerProcess) -> None:
    """SIGTERM to the agent: the command ends, the report arrives, nothing stays behind."""
    api = quick.api
    with running_agent(quick) as stopping:
        made = begin(quick, stopping, "echo $$; exec sleep 60")
        pid = int(first_line(api, made))
        assert stopping.stop() == 0
    found = api.one(made)
    assert (found["status"], found["failure_reason"]) == ("failed", "agent_shutdown")
    assert not is_alive(pid)


def test_a_paused_agents_command_goes_on_and_its_truth_is_kept(
    quick: ServerProcess, top: Path
) -> None:
    """The zombie cannot change the status; its command ends as it ends, which is shown as late."""
    api, go = quick.api, top / "go"
    with running_agent(quick) as zombie:
        command = f"echo up; until [ -e {shlex.quote(str(go))} ]; do sleep 0.02; done; exit 7"
        made = begin(quick, zombie, command)
        first_line(api, made)
        zombie.pause()
        lost = api.until_ended(made)
        assert lost["failure_reason"] == "agent_lost"
        zombie.resume()
        eventually(lambda: "heartbeat refused" in zombie.stderr, "the refusal")
        assert api.one(made)["late_outcome"] is None
        go.touch()
        found = api.until(made, lambda seen: seen["late_outcome"])
    assert (found["status"], found["failure_reason"]) == ("failed", "agent_lost")
    assert found["late_outcome"]["exit_code"] == 7


def test_a_restart_longer_than_a_lease_loses_nothing(top: Path) -> None:
    """The server is away for more than a lease while a command runs: it succeeds all the same."""
    settings = {"CRONLEDGER_LEASE_SECONDS": "2", "CRONLEDGER_HEARTBEAT_SECONDS": "1"}
    go = top / "go"
    with running_server(settings=settings) as server, running_agent(server) as agent:
        command = f"echo begun; until [ -e {shlex.quote(str(go))} ]; do sleep 0.05; done; echo done"
        made = begin(server, agent, command)
        first_line(server.api, made)
        port, stopped_at = urlsplit(server.url).port, datetime.now(UTC)
        assert port is not None
        server.stop()
        eventually(lambda: (datetime.now(UTC) - stopped_at).total_seconds() > 2.5, "a lease's end")
        go.touch()
        server.start(port=port)
        found = server.api.until_ended(made)
        assert (found["status"], found["output"]) == ("success", "begun\ndone\n")
        assert server.api.types(made) == ["created", "started", "completed"]
        invariants.check(owner_conninfo(server))
