"""When the server gives up on an agent, and how those who wait hear of news."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

from tests.support.calls import REPORTS, Reply, eventually, fresh, waiting_claims
from tests.support.problems import check_problem
from tests.support.server import ServerProcess

# ---------------------------------------------------------------------------------------- giving up


def test_an_execution_without_heartbeats_is_lost_and_its_outcome_kept(
    quick: ServerProcess,
) -> None:
    """Failed with `agent_lost`; what its agent says later is a 409, and shown as late outcome."""
    api, claim_id, agent = quick.api, fresh("claim"), fresh("agent")
    api.create(pinned_agent_id=agent)
    held = api.claim(agent, headers={"Claim-Id": claim_id})
    assert held is not None
    held.append(b"so far\n").ok()
    # when
    found = api.until_ended(held.id)
    # then
    assert (found["status"], found["failure_reason"]) == ("failed", "agent_lost")
    assert (found["exit_code"], found["late_outcome"]) == (None, None)
    assert api.events(held.id)[-1]["actor"] == "server:sweep"
    check_problem(held.heartbeat(), 409, code="lease_lost")
    again = api.post("/claim", {"agent_id": agent}, headers={"Claim-Id": claim_id})
    check_problem(again, 409, code="lease_lost")
    # and when its agent comes back
    held.append(b"and the rest\n", 7).ok()
    report = {"outcome": "exited", "exit_code": 0, "duration_ms": 5}
    for _ in range(2):
        assert "late outcome" in check_problem(held.complete(**report), 409)["detail"]
    check_problem(held.complete(**report | {"exit_code": 1}), 409)
    # then the status stands and the truth is shown beside it
    shown = api.one(held.id)
    assert (shown["status"], shown["failure_reason"]) == ("failed", "agent_lost")
    late = shown["late_outcome"]
    assert (late["outcome"], late["exit_code"]) == ("exited", 0)
    assert api.logs(held.id) == b"so far\nand the rest\n"
    assert api.types(held.id) == ["created", "started", "lost", "outcome_reported_late"]


@contextlib.contextmanager
def beating(beat: Callable[[], Reply]) -> Iterator[None]:
    """Keep a lease alive beside the test."""
    over = threading.Event()

    def go_on() -> None:
        while not over.is_set() and beat().status == 200:
            over.wait(0.2)

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_the_server_times_out_what_its_agent_does_not(quick: ServerProcess) -> None:
    """After timeout and grace the status is timeout, however alive the agent is."""
    held = quick.api.start(timeout_seconds=1)
    with beating(held.heartbeat):
        found = quick.api.until_ended(held.id)
    assert (found["status"], found["exit_code"]) == ("timeout", None)
    assert found["error"] == "timed out after 1 s"
    assert found["duration_ms"] >= 2000
    assert quick.api.events(held.id)[-1]["actor"] == "server:sweep"
    check_problem(held.complete(**REPORTS["timeout"]), 409)
    assert quick.api.one(held.id)["late_outcome"]["outcome"] == "timed_out"


def test_the_server_cancels_what_its_agent_does_not(quick: ServerProcess) -> None:
    """A cancel that nobody confirms is recorded by the server itself."""
    held = quick.api.start()
    quick.api.cancel(held.id).ok(202)
    with beating(held.heartbeat):
        found = quick.api.until_ended(held.id)
    assert found["status"] == "canceled"
    assert found["completed_at"] is not None
    assert quick.api.events(held.id)[-1]["actor"] == "server:sweep"


def test_a_lease_that_is_renewed_is_never_lost(quick: ServerProcess) -> None:
    """Heartbeats alone keep an execution running for longer than a lease."""
    held = quick.api.start()
    with beating(held.heartbeat):
        quick.api.until(held.id, lambda seen: seen["duration_ms"] > 4000)
    held.complete(outcome="exited", exit_code=0).ok()
    assert quick.api.one(held.id)["status"] == "success"


# ------------------------------------------------------------------------------------------ waiting


def test_a_waiting_claim_gets_new_work_at_once(quick: ServerProcess) -> None:
    """A long poll ends with the execution that was created meanwhile; one claimer gets it."""
    api, agent = quick.api, fresh("agent")
    with ThreadPoolExecutor(3) as threads:
        polls = [threads.submit(api.claim, agent, wait_seconds=4) for _ in range(3)]
        eventually(lambda: waiting_claims(api) >= 3, "three waiting claims")
        made = [api.create(pinned_agent_id=agent)["id"] for _ in range(2)]
        claimed = [held.id for poll in polls if (held := poll.result()) is not None]
    assert sorted(claimed) == sorted(made)
    for one in made:
        api.cancel(one)


def test_a_waiting_heartbeat_hears_of_a_cancel_at_once(quick: ServerProcess) -> None:
    """The long poll is answered when the cancel is asked for, not when it runs out."""
    held = quick.api.start()
    with ThreadPoolExecutor(1) as threads:
        began = time.monotonic()
        beat = threads.submit(held.heartbeat, 30)
        quick.api.cancel(held.id).ok(202)
        assert beat.result().ok().json()["cancel_requested"]
        assert time.monotonic() - began < 15
    held.complete(outcome="canceled", exit_code=143, signal=15).ok()
