"""What agents say: claims, heartbeats, outcomes, and how a cancel reaches them."""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.support.calls import PATH, Api, Reply, execution_id, fresh
from tests.support.problems import check_problem

MIB = 1024 * 1024

# ------------------------------------------------------------------------------------------- claims

BAD_CLAIMS: list[tuple[dict[str, Any], str]] = [
    ({}, "agent_id"),
    *(({"agent_id": value}, "agent_id") for value in ("", "a b", None, 5, "ä", "x" * 129, "a\0")),
    *(
        ({"agent_id": "a", "wait_seconds": value}, "wait_seconds")
        for value in (-1, 31, "5", None, 1e300)
    ),
    ({"agent_id": "a", "max": 5}, "max"),
]


@pytest.mark.parametrize(("body", "field"), BAD_CLAIMS)
def test_a_claim_that_is_wrong_is_refused_by_name(
    api: Api, body: dict[str, Any], field: str
) -> None:
    """An agent id that is none, a wait that is none: 400."""
    check_problem(api.post("/claim", body), 400, field=field)


def test_a_claim_that_settles_takes_nothing_new(api: Api) -> None:
    """It gets what its Claim-Id got before, and nothing if that is nothing."""
    agent = fresh("agent")
    pending = api.create(pinned_agent_id=agent)["id"]
    settle = {"agent_id": agent, "settle": True, "wait_seconds": 30}
    got, none = ({"Claim-Id": fresh("claim")} for _ in range(2))
    api.post("/claim", settle, headers=none).ok(204)
    assert api.one(pending)["status"] == "pending"
    claimed = api.claim(agent, headers=got)
    assert claimed is not None
    again = api.post("/claim", settle, headers=got).ok().json()
    assert (again["execution"]["id"], again["lease"]["token"]) == (
        pending,
        claimed.lease["token"],
    )


def test_the_same_claim_id_gives_the_same_lease_again(api: Api) -> None:
    """A claim whose answer was lost is asked again: same execution, same lease, no second run."""
    agent, claim_id = fresh("agent"), fresh("claim")
    pinned = [api.create(pinned_agent_id=agent)["id"] for _ in range(2)]
    headers = {"Claim-Id": claim_id}
    first, again = (api.claim(agent, headers=headers) for _ in range(2))
    assert first is not None
    assert again is not None
    assert (first.id, again.id) == (pinned[0], pinned[0])
    assert first.lease["token"] == again.lease["token"]
    assert api.one(pinned[1])["status"] == "pending"
    again.heartbeat().ok()
    other = api.claim(agent, headers={"Claim-Id": fresh("claim")})
    assert other is not None
    assert other.id == pinned[1]


def test_a_claim_id_used_by_another_agent_is_refused(api: Api) -> None:
    """One id, one request."""
    agent, headers = fresh("agent"), {"Claim-Id": fresh("claim")}
    api.create(pinned_agent_id=agent)
    assert api.claim(agent, headers=headers) is not None
    check_problem(api.post("/claim", {"agent_id": fresh("agent")}, headers=headers), 422)


def test_a_claim_id_whose_execution_has_ended_is_refused(api: Api) -> None:
    """409 `lease_lost`: to run it now would be to run it again."""
    agent, headers = fresh("agent"), {"Claim-Id": fresh("claim")}
    api.create(pinned_agent_id=agent)
    held = api.claim(agent, headers=headers)
    assert held is not None
    held.complete(outcome="exited", exit_code=0).ok()
    answer = api.post("/claim", {"agent_id": agent}, headers=headers)
    check_problem(answer, 409, code="lease_lost")


# ---------------------------------------------------------------------------------------- reporting


@pytest.mark.parametrize("rest", ["/heartbeat", "/complete", "/logs?stream=stdout&offset=0"])
def test_reports_need_the_lease_token(api: Api, rest: str) -> None:
    """Missing: 400 that names the header. Made up, cut, another's: 409 `lease_lost`."""
    held, other = api.start(), api.start()
    payload: dict[str, Any] = {"payload": {"outcome": "exited", "exit_code": 0}}
    if "logs" in rest:
        payload = {}
    if rest == "/heartbeat":
        payload = {"payload": {}}

    def answer(**headers: str) -> Reply:
        return api.request("POST", f"{PATH}/{held.id}{rest}", headers=headers, **payload)

    check_problem(answer(), 400, field="Lease-Token")
    token = held.lease["token"]
    for wrong in (other.lease["token"], token[:-3], "lease_", "x", token + "AA", "lease_ü"):
        check_problem(answer(**{"Lease-Token": wrong}), 409, code="lease_lost")
    assert api.one(held.id)["status"] == "running"


BAD_REPORTS: list[tuple[dict[str, Any], str]] = [
    ({}, "outcome"),
    ({"outcome": "vanished"}, "outcome"),
    ({"outcome": "exited"}, "exit_code"),
    *(({"outcome": "exited", "exit_code": value}, "exit_code") for value in ("0", 0.5, 1 << 31)),
    ({"outcome": "exited", "exit_code": 0, "duration_ms": -1}, "duration_ms"),
    ({"outcome": "exited", "exit_code": 0, "duration_ms": "5"}, "duration_ms"),
    ({"outcome": "exited", "exit_code": 0, "signal": 0}, "signal"),
    ({"outcome": "exited", "exit_code": 0, "signal": 256}, "signal"),
    ({"outcome": "exited", "exit_code": 0, "error": "a\0"}, "error"),
    ({"outcome": "exited", "exit_code": 0, "error": "x" * 4001}, "error"),
    ({"outcome": "exited", "exit_code": 0, "failure_reason": "not_started"}, "failure_reason"),
    ({"outcome": "exited", "exit_code": 0, "failure_reason": "agent_lost"}, "exit_code"),
    ({"outcome": "exited", "exit_code": 0, "stdout_sha256": "abc"}, "stdout_sha256"),
    ({"outcome": "exited", "exit_code": 0, "stdout_bytes": -1}, "stdout_bytes"),
    ({"outcome": "exited", "exit_code": 0, "status": "success"}, "status"),
    ({"outcome": "exited", "exit_code": 0, "output": "x", "stdout_bytes": 1}, "output"),
    ({"outcome": "exited", "exit_code": 0, "output": "x" * (MIB + 1)}, "output"),
]


@pytest.mark.parametrize(("report", "field"), BAD_REPORTS)
def test_a_report_that_is_wrong_is_refused_by_name(
    api: Api, report: dict[str, Any], field: str
) -> None:
    """400, and the execution still runs."""
    held = api.start()
    check_problem(held.complete(**report), 400, field=field)
    assert api.one(held.id)["status"] == "running"


def test_the_same_report_twice_is_one(api: Api) -> None:
    """200 again with the same outcome; a different report is a 409 and changes nothing."""
    held = api.start()
    held.append(b"out").ok()
    report = {"outcome": "exited", "exit_code": 0, "duration_ms": 5, "stdout_bytes": 3}
    first, again = (held.complete(**report).ok().json() for _ in range(2))
    assert first == again
    for other in ({"exit_code": 1}, {"duration_ms": 6}, {"outcome": "timed_out"}, {"signal": 9}):
        check_problem(held.complete(**report | other), 409)
    assert api.types(held.id) == ["created", "started", "completed"]


def test_canceled_cannot_be_reported_without_a_request(api: Api) -> None:
    """409: nobody asked. After a request the same report is accepted."""
    held = api.start()
    check_problem(held.complete(outcome="canceled", exit_code=143, signal=15), 409)
    api.cancel(held.id).ok(202)
    held.complete(outcome="canceled", exit_code=143, signal=15).ok()
    assert api.one(held.id)["status"] == "canceled"


def test_inline_output_is_kept_as_it_is(api: Api) -> None:
    """A client that does not stream sends its output with the report; a repeat is one report."""
    held = api.start()
    report = {"outcome": "exited", "exit_code": 0, "output": "ünïcode\n"}
    for _ in range(2):
        held.complete(**report).ok()
    assert api.logs(held.id) == "ünïcode\n".encode()


@pytest.mark.parametrize("said", ["xx", "xxxx", "xxxxxx", "ABCx", "xBCDE"])
def test_inline_output_that_is_not_what_was_streamed_is_refused(api: Api, said: str) -> None:
    """Shorter, as long or longer: what nobody wrote is not put together, and nothing is dropped."""
    held = api.start()
    held.append(b"ABCD").ok()
    report = {"outcome": "exited", "exit_code": 0}
    check_problem(held.complete(**report, output=said), 400, field="output")
    assert api.logs(held.id) == b"ABCD"
    held.complete(**report, output="ABCDEF").ok()
    assert api.logs(held.id) == b"ABCDEF"


def test_inline_output_goes_with_none_that_was_cut(api: Api) -> None:
    """Of what was left out in the middle nobody can tell that it is the same."""
    held = api.start()
    held.append(b"ABCD").ok()
    held.append(b"Z", offset=4, skip_to=9).ok()
    check_problem(held.complete(outcome="exited", exit_code=0, output="ABCDxxxxxZ"), 400)


def test_inline_output_of_a_report_that_is_refused_is_not_kept(api: Api) -> None:
    """Neither that of another report after the end, nor that of a cancel nobody asked for."""
    held, other = api.start(), api.start()
    held.complete(outcome="exited", exit_code=0, output="abc").ok()
    for said in ("abcdef", "ab", "x"):
        check_problem(held.complete(outcome="exited", exit_code=0, output=said), 409)
    assert api.logs(held.id) == b"abc"
    check_problem(other.complete(outcome="canceled", output="abc"), 409)
    assert api.logs(other.id) == b""


def test_a_report_on_an_execution_that_does_not_exist_is_a_404(api: Api) -> None:
    """Whatever the lease token."""
    held, nowhere = api.start(), execution_id()
    bodies: dict[str, Any] = {
        "/heartbeat": {"payload": {}},
        "/complete": {"payload": {"outcome": "exited", "exit_code": 0}},
        "/logs?stream=stdout&offset=0": {"body": b"x"},
    }
    for rest, body in bodies.items():
        for token in ("x", held.lease["token"]):
            path = f"{PATH}/{nowhere}{rest}"
            answer = api.request("POST", path, headers={"Lease-Token": token}, **body)
            check_problem(answer, 404)


def test_a_lease_token_of_another_names_the_true_status(api: Api) -> None:
    """The sentence says what the execution is."""
    held, other = api.start(), api.start()
    held.complete(outcome="exited", exit_code=0).ok()
    answer = api.post(f"/{held.id}/heartbeat", {}, headers=other.headers)
    assert "success" in check_problem(answer, 409, code="lease_lost")["detail"]


# ------------------------------------------------------------------------------------------- cancel


def test_cancel_of_a_pending_execution_is_final_at_once(api: Api) -> None:
    """200, and again 200; it cannot be claimed any more."""
    agent = fresh("agent")
    made = api.create(pinned_agent_id=agent)["id"]
    for _ in range(2):
        assert api.cancel(made).ok(200).json()["status"] == "canceled"
    assert api.types(made) == ["created", "canceled"]
    assert api.one(made)["duration_ms"] == 0
    unpinned_or_none = api.claim(agent)
    assert unpinned_or_none is None or unpinned_or_none.id != made


def test_cancel_of_a_running_execution_is_asked_of_its_agent(api: Api) -> None:
    """202, and again 202, one event; heartbeat and logs tell the agent; final is a 409."""
    held = api.start()
    assert not held.heartbeat().ok().json()["cancel_requested"]
    for _ in range(2):
        shown = api.cancel(held.id).ok(202).json()
        assert (shown["status"], shown["cancel_requested_at"] is None) == ("running", False)
    assert api.types(held.id) == ["created", "started", "cancel_requested"]
    assert held.heartbeat(30).ok().json()["cancel_requested"]
    assert held.append(b"x").ok().json()["cancel_requested"]
    held.complete(outcome="exited", exit_code=0).ok()
    found = api.one(held.id)
    assert (found["status"], found["cancel_requested_at"] is None) == ("success", False)
    problem = check_problem(api.cancel(held.id), 409)
    for word in ("success", "pending", "running"):
        assert word in problem["detail"]


@pytest.mark.parametrize("status", ["success", "failed", "timeout"])
def test_cancel_of_an_ended_execution_names_the_status(api: Api, status: str) -> None:
    """409 with the current status and the allowed ones."""
    problem = check_problem(api.cancel(api.brought_to(status)["id"]), 409)
    for word in (status, "pending", "running"):
        assert word in problem["detail"]


def test_a_waiting_heartbeat_hears_of_a_cancel_at_once(api: Api) -> None:
    """The long poll is answered when the cancel is asked for, not when it runs out."""
    held = api.start()
    with ThreadPoolExecutor(1) as threads:
        began = time.monotonic()
        beat = threads.submit(held.heartbeat, 30)
        api.cancel(held.id).ok(202)
        assert beat.result().ok().json()["cancel_requested"]
        assert time.monotonic() - began < 15
    held.complete(outcome="canceled", exit_code=143, signal=15).ok()
