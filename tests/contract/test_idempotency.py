"""A request that is repeated happens once: keys, ids that clients make, and claims."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.support.calls import PATH, Api, Held, execution_id, fresh
from tests.support.problems import check_problem

JOB: dict[str, Any] = {"job_name": "n", "command": "true"}

# -------------------------------------------------------------------------------------- idempotency


def keyed(key: str) -> dict[str, dict[str, str]]:
    """The header that makes a request repeatable."""
    return {"headers": {"Idempotency-Key": key}}


def test_the_same_key_and_body_give_the_same_answer_again(api: Api) -> None:
    """Status, Location and every byte; other whitespace and order are the same body."""
    body, key = {"job_name": fresh("once"), "command": ["a", "b"]}, fresh("key")
    first = api.post("", body, **keyed(key)).ok(201)
    api.cancel(first.json()["id"]).ok()
    again = api.post("", body, **keyed(key)).ok(201)
    headers = {"Content-Type": "application/json", "Idempotency-Key": key}
    spelled = json.dumps(dict(reversed(body.items())), indent=3).encode()
    third = api.post("", body=spelled, headers=headers).ok(201)
    assert first.body == again.body == third.body
    assert first.headers["Location"] == again.headers["Location"] == third.headers["Location"]
    assert len(api.all_pages({"job_id": first.json()["job_id"]})) == 1


def test_the_same_key_with_another_body_is_refused(api: Api) -> None:
    """422 `idempotency_mismatch`, and nothing is created."""
    name, key = fresh("once"), fresh("key")
    first = api.post("", {"job_name": name, "command": "a"}, **keyed(key)).ok(201).json()
    check_problem(api.post("", {"job_name": name, "command": "b"}, **keyed(key)), 422)
    assert len(api.all_pages({"job_id": first["job_id"]})) == 1


def test_a_key_is_bound_to_token_and_path(api: Api, operator: Api) -> None:
    """Two tokens may use one key; one token may not use it for two requests."""
    key, body = fresh("key"), {"job_name": fresh("once"), "command": "a"}
    first = api.post("", body, **keyed(key)).ok(201).json()
    other = operator.post("", body, **keyed(key)).ok(201).json()
    assert first["id"] != other["id"]
    failed = api.brought_to("failed")["id"]
    check_problem(api.post(f"/{failed}/retry", **keyed(key)), 422)
    assert api.one(failed)["retried_as"] is None


def test_a_retry_with_a_key_happens_once(api: Api) -> None:
    """The same key gives the same new execution; another one makes another."""
    failed, key = api.brought_to("failed")["id"], fresh("key")
    first = api.post(f"/{failed}/retry", **keyed(key)).ok(201)
    again = api.post(f"/{failed}/retry", **keyed(key)).ok(201)
    assert (first.body, first.headers["Location"]) == (again.body, again.headers["Location"])
    other = api.post(f"/{failed}/retry", **keyed(fresh("key"))).ok(201).json()
    assert other["id"] != first.json()["id"]
    assert api.types(failed).count("retried") == 2


def test_a_refusal_is_not_kept_under_a_key(api: Api) -> None:
    """What was refused changed nothing: the same request may succeed later."""
    key, held = fresh("key"), api.start()
    check_problem(api.post(f"/{held.id}/retry", **keyed(key)), 409)
    held.complete(outcome="exited", exit_code=1).ok()
    api.post(f"/{held.id}/retry", **keyed(key)).ok(201)


@pytest.mark.parametrize("key", ["", "x" * 256, "a\x07b", "schlüssel".encode().decode("latin-1")])
def test_a_key_that_is_none_is_refused(api: Api, key: str) -> None:
    """1 to 255 printable ASCII characters, for both headers that make requests repeatable."""
    for path, header in (("", "Idempotency-Key"), ("/claim", "Claim-Id")):
        body = JOB if path == "" else {"agent_id": fresh("agent")}
        answer = api.post(path, body, headers={header: key})
        if key == "a\x07b" and "problem" not in answer.headers.get("Content-Type", ""):
            assert answer.status == 400  # the HTTP parser itself may refuse it
        else:
            check_problem(answer, 400, field=header)
    api.post("", JOB, **keyed("k" * 254 + fresh("")[-1])).ok(201)


def test_a_claimed_create_with_a_key_gives_the_same_lease(api: Api) -> None:
    """What `exec` does is repeatable: same execution, same lease."""
    body = {"job_name": fresh("once"), "command": "a", "claim": {"agent_id": fresh("agent")}}
    key = fresh("key")
    first, again = (api.post("", body, **keyed(key)).ok(201).json() for _ in range(2))
    assert first["execution"]["id"] == again["execution"]["id"]
    assert first["lease"]["token"] == again["lease"]["token"]


def test_the_same_id_and_body_are_the_same_execution_for_ever(api: Api) -> None:
    """A client-made id may be sent again, also when the execution is long over."""
    body = JOB | {"id": execution_id(), "pinned_agent_id": fresh("nobody")}
    first = api.post("", body).ok(201)
    assert first.json()["id"] == body["id"]
    api.cancel(body["id"]).ok()
    again = api.post("", body).ok(201)
    assert (again.json()["id"], again.json()["status"]) == (body["id"], "canceled")
    assert first.headers["Location"] == again.headers["Location"] == f"{PATH}/{body['id']}"
    assert api.types(body["id"]) == ["created", "canceled"]


@pytest.mark.parametrize(
    "change", [{"command": "false"}, {"job_name": "m"}, {"timeout_seconds": 5}, {"job_id": "j"}]
)
def test_the_same_id_with_another_body_is_refused(api: Api, change: dict[str, Any]) -> None:
    """409, and the first execution is as it was."""
    body = JOB | {"id": execution_id()}
    api.post("", body).ok(201)
    check_problem(api.post("", body | change), 409)
    assert api.one(body["id"])["command"] == "true"


def test_an_execution_recorded_late_stands_where_it_happened(api: Api) -> None:
    """`created_at` is the moment that the client-made id names."""
    moment = datetime.now(UTC).replace(microsecond=0) - timedelta(days=3)
    made = api.create(id=execution_id(moment))
    assert datetime.fromisoformat(made["created_at"]) == moment


def test_a_repeated_exec_gets_no_lease_of_what_has_ended(api: Api) -> None:
    """A create with `claim` that is repeated after the end is a 409: to run it would be again."""
    # given
    body = {"job_name": "n", "command": "c", "claim": {"agent_id": fresh("agent")}}
    headers = {"Idempotency-Key": fresh("key")}
    first = api.post("", body, headers=headers).ok(201).json()
    again = api.post("", body, headers=headers).ok(201).json()
    assert first["lease"]["token"] == again["lease"]["token"]
    Held(api, first).complete(outcome="exited", exit_code=0).ok(200)
    # then
    check_problem(api.post("", body, headers=headers), 409, code="lease_lost")
