"""Killed agents, escaping process trees, much output: small here, large in `make soak`.

Every run says its seed; SOAK_SEED repeats the choices of one (what meets when is up to the clock).
"""

import random
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest

from agent.recovery import NEVER_STARTED
from tests.support.agents import AgentProcess, begin, first_line, running_agent, until_settled
from tests.support.calls import Api, fresh
from tests.support.server import ServerProcess
from tests.support.trees import escaping_tree, until_none_is_left

MIB: Final = 1024 * 1024

soak = pytest.mark.soak


def _kill_agents(server: ServerProcess, agent_id: str, kills: int, chance: random.Random) -> None:
    """Kill agents at random moments of many short commands; each has one true outcome."""
    api, made = server.api, dict[str, int]()
    for _ in range(kills):
        with running_agent(server, agent_id=agent_id) as agent:
            for _ in range(chance.randrange(1, 4)):
                code, lines = chance.randrange(0, 100), chance.randrange(0, 3000)
                line = (
                    f"seq {lines}; sleep 0.{chance.randrange(0, 5)}; seq {lines} >&2; exit {code}"
                )
                made[begin(api, agent_id, line)] = code
            wait = chance.random() * 0.8
            # The moment itself is what is random: there is no event to wait for.
            _wait_or_end(agent, wait)
            agent.kill()
    with running_agent(server, agent_id=agent_id):
        for one, code in made.items():
            found = api.until_ended(one, 60)
            _check_truth(api, found, code)
        until_settled(server, agent_id)


def _wait_or_end(agent: AgentProcess, seconds: float) -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        agent.wait(seconds)


def _check_truth(api: Api, found: dict[str, Any], code: int) -> None:
    if found["failure_reason"] == "agent_lost":
        # Its lease ran out before the next agent came (a claim whose answer nobody heard has no
        # run at all): then it is Lost, and what was run is told as a late outcome.
        late = found["late_outcome"]
        assert late is None or late["exit_code"] in (code, None)
        return
    if found["exit_code"] is None:
        assert found["error"] == NEVER_STARTED
        return
    assert (found["exit_code"], found["late_outcome"]) == (code, None)
    out, err = api.logs(found["id"]), api.logs(found["id"], "stderr")
    assert out == err
    assert len(out.splitlines()) == found["output"].count("\n")


def test_every_command_of_killed_agents_has_one_true_outcome(
    quick: ServerProcess, agent_id: str, chance: random.Random
) -> None:
    """Six agents killed at random phases: no false outcome, no byte missing."""
    _kill_agents(quick, agent_id, 6, chance)


@soak
def test_every_command_of_200_killed_agents_has_one_true_outcome(
    quick: ServerProcess, agent_id: str, chance: random.Random
) -> None:
    """200 agents killed at random phases: no false outcome, no byte missing."""
    _kill_agents(quick, agent_id, 200, chance)


# --------------------------------------------------------------------------------- escaping trees


def _grow_trees(
    server: ServerProcess, agent: AgentProcess, trees: int, chance: random.Random
) -> None:
    """Each tree is ended by its timeout or by a cancel, and nothing of it lives on."""
    for _ in range(trees):
        mark, seed, by_cancel = fresh("tree"), chance.randrange(2**31), chance.random() < 0.5
        command = escaping_tree(
            mark, seed, depth=chance.randrange(0, 3), hops=chance.random() < 0.3
        )
        limit = 100 if by_cancel else 1
        made = begin(server.api, agent.agent_id, command, timeout_seconds=limit)
        if by_cancel:
            first_line(server.api, made)
            server.api.cancel(made).ok(202)
        found = server.api.until_ended(made)
        assert found["status"] == ("canceled" if by_cancel else "timeout"), f"seed {seed}"
        until_none_is_left(mark, found["output"])


def test_no_process_of_three_trees_survives(
    quick: ServerProcess, agent: AgentProcess, chance: random.Random
) -> None:
    """Timeout or cancel, daemons and all."""
    _grow_trees(quick, agent, 3, chance)


@soak
def test_no_process_of_100_trees_survives(
    quick: ServerProcess, agent: AgentProcess, chance: random.Random
) -> None:
    """Timeout or cancel, daemons and all."""
    _grow_trees(quick, agent, 100, chance)


# ----------------------------------------------------------------------------------- much output


def _much_output(server: ServerProcess, agent: AgentProcess, megabytes: int) -> None:
    """Binary output passes agent and supervisor in bounded memory; both its ends are kept."""
    api = server.api
    program = (
        "import os, sys; block = bytes(range(256)) * 4096\n"
        f"for n in range({megabytes}): os.write(1, n.to_bytes(4, 'big') + block[4:])\n"
        "print(os.getppid(), open('/proc/%d/status' % os.getppid()).read(), file=sys.stderr)"
    )
    made = begin(api, agent.agent_id, [sys.executable, "-c", program], timeout_seconds=600)
    found = api.until_ended(made, 300)
    assert (found["status"], found["output_bytes"]) == ("success", megabytes * MIB)
    block = bytes(range(256)) * 4096
    whole = b"".join(n.to_bytes(4, "big") + block[4:] for n in range(5))
    end = b"".join(n.to_bytes(4, "big") + block[4:] for n in range(megabytes - 5, megabytes))
    assert api.logs(made) == whole + end
    for status in (found["stderr"], Path(f"/proc/{agent.pid}/status").read_text()):
        assert high_water_mark(status) <= 64 * MIB


def high_water_mark(status: str) -> int:
    """The most memory that a process ever had, in bytes."""
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def test_fifty_megabytes_pass_in_bounded_memory(quick: ServerProcess, agent: AgentProcess) -> None:
    """Agent and supervisor stay below 64 MiB; head and tail are exact."""
    _much_output(quick, agent, 50)


@soak
def test_a_gigabyte_passes_in_bounded_memory(quick: ServerProcess, agent: AgentProcess) -> None:
    """Agent and supervisor stay below 64 MiB; head and tail are exact."""
    _much_output(quick, agent, 1024)
