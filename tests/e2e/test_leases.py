"""When the server gives up on an agent, and how those who wait hear of news."""

import contextlib
import http.client
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import psycopg

from domain.ids import EXECUTION, from_text
from tests.support.calls import PATH, REPORTS, Reply, eventually, fresh, waiting_claims
from tests.support.problems import check_problem
from tests.support.server import ServerProcess
from tests.support.tokens import owner_conninfo

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
        assert (
            "late outcome"
            in check_problem(held.complete(**report), 409, code="kept_as_late_outcome")["detail"]
        )
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
    check_problem(held.complete(**REPORTS["timeout"]), 409, code="kept_as_late_outcome")
    assert quick.api.one(held.id)["late_outcome"]["outcome"] == "timed_out"


def test_a_true_outcome_after_a_server_timeout_is_kept_with_its_output(
    quick: ServerProcess,
) -> None:
    """However late: output that was not sent before, then the report, as the late outcome."""
    # given an execution that timed out, and whose lease has run out since
    api = quick.api
    held = api.start(timeout_seconds=1)
    held.append(b"before\n").ok()
    with beating(held.heartbeat):
        api.until_ended(held.id)
    eventually(lambda: lease_of(quick, held.id) == (True, True), "the end of the lease")
    # when
    held.append(b"after\n", 7).ok()
    seen, listed = api.one(held.id), api.get("", {"job_id": held.execution["job_id"]}).ok().json()
    answer = held.complete(outcome="exited", exit_code=0, stdout_bytes=13)
    # then
    assert seen["output_bytes"] == listed["data"][0]["output_bytes"] == 7
    assert (seen["output_truncated"], listed["data"][0]["output_truncated"]) == (False, False)
    assert "late outcome" in check_problem(answer, 409, code="kept_as_late_outcome")["detail"]
    assert (api.one(held.id)["status"], api.one(held.id)["output_bytes"]) == ("timeout", 13)
    assert api.one(held.id)["late_outcome"]["exit_code"] == 0
    assert api.logs(held.id) == b"before\nafter\n"
    check_problem(held.append(b"x", 13), 409, code="lease_lost")


def lease_of(server: ServerProcess, execution: str) -> tuple[bool, bool] | None:
    """Whether a lease is marked lost, and whether the sweep is done with it; None if dropped."""
    with psycopg.connect(owner_conninfo(server)) as connection:
        return connection.execute(
            "SELECT lost_at IS NOT NULL, given_up FROM store.leases WHERE execution_id = %s",
            [from_text(EXECUTION, execution)],
        ).fetchone()


def test_the_same_report_is_the_same_after_its_lease_has_gone(quick: ServerProcess) -> None:
    """Inline output and all: 200, and another report is a 409."""
    held = quick.api.start()
    report = {"outcome": "exited", "exit_code": 0, "output": "abc"}
    held.complete(**report).ok()
    eventually(lambda: lease_of(quick, held.id) is None, "the end of the lease")
    held.complete(**report).ok()
    check_problem(held.complete(**report | {"output": "abcd"}), 409)


def test_a_repeated_claim_renews_its_lease(quick: ServerProcess) -> None:
    """What it answers holds: until a later time than the first, and a lost one not at all."""
    api, agent, headers = quick.api, fresh("agent"), {"Claim-Id": fresh("claim")}
    api.create(pinned_agent_id=agent)
    first = api.claim(agent, headers=headers)
    again = api.claim(agent, headers=headers)
    assert first is not None
    assert again is not None
    assert again.lease["expires_at"] > first.lease["expires_at"]
    assert again.lease["expires_at"] <= again.heartbeat().ok().json()["expires_at"]
    again.complete(outcome="exited", exit_code=0).ok()


def test_a_client_that_hung_up_takes_no_work(quick: ServerProcess) -> None:
    """Its claim ends with the connection; what comes then is for whoever asks next."""
    # given a waiting claim whose connection is cut
    api, agent = quick.api, fresh("agent")
    parts, before = urlsplit(api.url), waiting_claims(api)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 0)
    sent = {"Authorization": f"Bearer {api.token}", "Content-Type": "application/json"}
    body = json.dumps({"agent_id": agent, "wait_seconds": 30})
    connection.request("POST", PATH + "/claim", body=body, headers=sent)
    eventually(lambda: waiting_claims(api) > before, "a waiting claim")
    # when
    connection.close()
    eventually(lambda: waiting_claims(api) <= before, "the end of the claim")
    made = api.create(pinned_agent_id=agent)["id"]
    # then
    held = api.claim(agent)
    assert held is not None
    assert held.id == made
    held.complete(outcome="exited", exit_code=0).ok()


def test_a_heartbeat_waits_no_longer_than_its_lease_allows(quick: ServerProcess) -> None:
    """Asked to wait 30 s it is answered while the lease of 3 s is still held, and renews it."""
    held = quick.api.start()
    for _ in range(2):
        held.heartbeat(30).ok()
    assert held.complete(outcome="exited", exit_code=0).ok().json()["status"] == "success"


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
