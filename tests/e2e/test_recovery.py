"""Agents that are killed or stopped: what they ran is told all the same."""

import os
import shlex
import signal
from pathlib import Path

from tests.support.agents import (
    begin,
    first_line,
    is_alive,
    running_agent,
    runs_of,
    until_gone,
    until_settled,
)
from tests.support.calls import eventually
from tests.support.server import ServerProcess

# --------------------------------------------------------------------------------- killed agents


def test_the_next_agent_goes_on_with_a_running_command(
    quick: ServerProcess, agent_id: str, top: Path
) -> None:
    """Kill -9 while a command runs: the next agent delivers the rest, and the true end."""
    api, go = quick.api, top / "go"
    line = f"echo one; until [ -e {shlex.quote(str(go))} ]; do sleep 0.02; done; echo two; exit 7"
    with running_agent(quick, agent_id=agent_id) as first:
        made = begin(api, agent_id, line)
        first_line(api, made)
        first.kill()
    with running_agent(quick, agent_id=agent_id) as second:
        eventually(lambda: "still runs" in second.stderr, "the discovery")
        go.touch()
        found = api.until_ended(made)
    assert (found["status"], found["exit_code"]) == ("failed", 7)
    assert (found["output"], found["late_outcome"]) == ("one\ntwo\n", None)
    assert api.types(made) == ["created", "started", "completed"]


def test_the_next_agent_tells_of_an_end_that_it_did_not_see(
    quick: ServerProcess, agent_id: str, top: Path
) -> None:
    """The command ends while there is no agent: outcome and output are there when there is one."""
    api, go = quick.api, top / "go"
    line = f"echo one; until [ -e {shlex.quote(str(go))} ]; do sleep 0.02; done; echo two; exit 7"
    with running_agent(quick, agent_id=agent_id) as first:
        made = begin(api, agent_id, line)
        first_line(api, made)
        first.kill()
    go.touch()
    (folder,) = runs_of(quick, agent_id)
    eventually((folder / "ending.json").exists, "the end of the command")
    with running_agent(quick, agent_id=agent_id):
        found = api.until_ended(made)
        until_settled(quick, agent_id)
    assert (found["status"], found["exit_code"], found["output"]) == ("failed", 7, "one\ntwo\n")


def test_a_command_whose_agent_never_comes_back_is_lost_and_its_truth_is_kept(
    quick: ServerProcess, agent_id: str, top: Path
) -> None:
    """Lost after the lease; an agent that comes at last tells the truth, as a late outcome."""
    api, go = quick.api, top / "go"
    line = f"echo one; until [ -e {shlex.quote(str(go))} ]; do sleep 0.02; done; echo two"
    with running_agent(quick, agent_id=agent_id) as first:
        made = begin(api, agent_id, line)
        first_line(api, made)
        first.kill()
    lost = api.until_ended(made)
    assert (lost["status"], lost["failure_reason"]) == ("failed", "agent_lost")
    go.touch()
    with running_agent(quick, agent_id=agent_id):
        found = api.until(made, lambda seen: seen["late_outcome"])
        until_settled(quick, agent_id)
    assert (found["status"], found["failure_reason"]) == ("failed", "agent_lost")
    assert (found["late_outcome"]["exit_code"], found["output"]) == (0, "one\ntwo\n")
    assert api.types(made) == ["created", "started", "lost", "outcome_reported_late"]


def test_a_cancel_reaches_a_command_that_the_next_agent_has_found(
    quick: ServerProcess, agent_id: str
) -> None:
    """The second agent is as good as the first."""
    api = quick.api
    with running_agent(quick, agent_id=agent_id) as first:
        made = begin(api, agent_id, "echo $$; exec sleep 60")
        pid = int(first_line(api, made))
        first.kill()
    with running_agent(quick, agent_id=agent_id):
        api.cancel(made).ok(202)
        found = api.until_ended(made)
    assert (found["status"], found["signal"]) == ("canceled", 15)
    assert api.events(made)[-1]["actor"] != "server:sweep"
    until_gone(pid)


def test_a_command_whose_supervisor_was_killed_too_is_ended_and_told(
    quick: ServerProcess, agent_id: str
) -> None:
    """Nobody saw the end: no exit code, and a sentence that says so."""
    api = quick.api
    with running_agent(quick, agent_id=agent_id) as first:
        made = begin(api, agent_id, "ps -o ppid= -p $$; echo $$; exec sleep 60")
        said = api.until(made, lambda seen: seen["output"].count("\n") == 2)["output"].split()
        supervisor, pid = map(int, said)
        first.kill()
    os.kill(supervisor, signal.SIGKILL)
    with running_agent(quick, agent_id=agent_id):
        found = api.until_ended(made)
        until_settled(quick, agent_id)
    assert (found["status"], found["exit_code"]) == ("failed", None)
    assert "nobody saw how the command ended" in found["error"]
    until_gone(pid)


def test_an_agent_that_is_to_stop_lets_a_command_finish(
    quick: ServerProcess, agent_id: str, top: Path
) -> None:
    """--drain: the command goes on to its own end, and then the agent ends."""
    api, go = quick.api, top / "go"
    with running_agent(quick, "--drain", "60", agent_id=agent_id) as agent:
        made = begin(
            api, agent_id, f"echo up; until [ -e {shlex.quote(str(go))} ]; do sleep 0.02; done"
        )
        first_line(api, made)
        agent.ask_to_stop()
        eventually(lambda: "may finish within 60 s" in agent.stderr, "the word that it stops")
        later = begin(api, agent_id, "true")
        go.touch()
        assert agent.wait() == 0
    assert api.one(made)["status"] == "success"
    # Its last claim, which was waiting, may have been granted: then that is run too.
    assert api.one(later)["status"] in {"pending", "success"}
    api.cancel(later)


def test_a_drain_has_an_end(quick: ServerProcess, agent_id: str) -> None:
    """What does not finish in time is ended, and told as a shutdown."""
    api = quick.api
    with running_agent(quick, "--drain", "1", agent_id=agent_id) as agent:
        made = begin(api, agent_id, "echo $$; exec sleep 60")
        pid = int(first_line(api, made))
        assert agent.stop() == 0
    found = api.one(made)
    assert (found["status"], found["failure_reason"]) == ("failed", "agent_shutdown")
    assert found["duration_ms"] >= 1000
    assert not is_alive(pid)
