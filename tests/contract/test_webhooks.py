"""What is told to webhooks: what, to whom, how it is signed, and what becomes of failures."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.contract.test_jobs import made
from tests.support.calls import Api, eventually, fresh
from tests.support.problems import check_problem
from tests.support.receiver import Receiver, running_receiver

PATH = "/v1/webhooks"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver of this test's own."""
    with running_receiver() as started:
        yield started


def webhook(api: Api, url: str, **fields: Any) -> tuple[str, str]:
    """Make a webhook; return its name and secret. Of others' jobs it hears nothing."""
    name = fresh("hook")
    body = {"name": name, "url": url, "events": [], "tags": [name]} | fields
    made_one = api.request("POST", PATH, payload=body).ok(201).json()
    assert made_one["webhook"]["name"] == name
    return name, made_one["secret"]


def ended(api: Api, job: dict[str, Any], status: str) -> str:
    """Let a run of the job end so."""
    ids = {"job_id": job["id"], "job_name": job["name"]}
    return str(api.brought_to(status, **ids)["id"])


def deliveries(api: Api, name: str) -> list[dict[str, Any]]:
    """What was told to a webhook."""
    return list(api.request("GET", f"{PATH}/{name}/deliveries").ok().json()["data"])


def test_each_end_is_told_to_those_who_want_to_hear_of_it(api: Api, receiver: Receiver) -> None:
    """Failure, success, and recovery for the first success after a failure; signed, once each."""
    name, secret = webhook(
        api, receiver.url, events=["failure", "success", "recovery"], tags=(tags := [fresh("tag")])
    )
    job, other = made(api, tags=tags), made(api)
    ended(api, other, "failed")
    for status in ("success", "failed", "timeout", "success", "canceled", "success"):
        ended(api, job, status)
    heard = receiver.until(job["id"], *["success"] * 3, "failure", "failure", "recovery")
    assert all(one.is_signed_with(secret) for one in heard)
    assert len({one.headers["cronledger-event-id"] for one in heard}) == len(heard)
    assert receiver.about(other["id"]) == []
    failure = next(one for one in heard if one.message["event"] == "failure").message
    assert (failure["job"], failure["previous_status"]) == (
        {"id": job["id"], "name": job["name"]},
        "success",
    )
    shown = api.one(failure["execution"]["id"])
    assert "output" not in failure["execution"]
    assert failure["execution"].items() <= shown.items()
    eventually(
        lambda: {one["state"] for one in deliveries(api, name)} == {"delivered"}, "all delivered"
    )


def test_a_job_names_addresses_of_its_own(api: Api, receiver: Receiver) -> None:
    """They become a webhook that hears of nothing else; its secret can be had anew."""
    job = made(api, notification_config={"on_failure": [receiver.url]})
    ended(api, job, "success")
    ended(api, job, "failed")
    receiver.until(job["id"], "failure")
    listed = api.request("GET", PATH).ok().json()["data"]
    host = receiver.url.removesuffix("/hook")
    (name,) = [one["name"] for one in listed if one["url"] == f"{host}/…"]
    secret = api.request("POST", f"{PATH}/{name}/secret").ok().json()["secret"]
    ended(api, job, "failed")
    assert receiver.until(job["id"], "failure", "failure")[1].is_signed_with(secret)


def test_what_was_not_taken_is_told_again_until_it_is(api: Api, receiver: Receiver) -> None:
    """A dead target waits longer and longer and holds up no other; each attempt can be seen."""
    receiver.answers = [500, 200]
    dead, _ = webhook(api, "http://127.0.0.1:9/", events=["failure"], tags=(tags := [fresh("t")]))
    live, secret = webhook(api, receiver.url, events=["failure"], tags=tags)
    job = made(api, tags=tags)
    ended(api, job, "failed")
    eventually(lambda: deliveries(api, live)[:1] and deliveries(api, live)[0]["attempts"], "tried")
    (delivery,) = deliveries(api, live)
    assert (delivery["state"], delivery["attempts"][0]["status_code"]) == ("pending", 500)
    api.request("POST", f"{PATH}/{live}/deliveries/{delivery['id']}/redeliver").ok(202)
    first, second = receiver.until(job["id"], "failure", "failure")
    assert first.headers["cronledger-event-id"] == second.headers["cronledger-event-id"]
    assert second.is_signed_with(secret)
    assert second.headers["cronledger-attempt"] == "2"
    eventually(lambda: deliveries(api, live)[0]["state"] == "delivered", "delivered")
    (failing,) = eventually(
        lambda: [one for one in deliveries(api, dead) if one["attempts"]], "an attempt"
    )
    assert failing["state"] == "pending"
    assert "refused" in failing["attempts"][0]["error"]
    state = api.request("GET", f"{PATH}/{dead}").ok().json()
    assert state["failures"] >= 1
    assert state["resume_at"] is not None


def test_a_target_that_hangs_holds_up_no_other(api: Api, receiver: Receiver) -> None:
    """While one takes its time, another hears of all that happens."""
    tags = [fresh("tag")]
    with running_receiver() as slow:
        slow.gate.clear()
        for target in (slow, receiver):
            webhook(api, target.url, events=["failure"], tags=tags)
        job = made(api, tags=tags)
        for _ in range(3):
            ended(api, job, "failed")
        receiver.until(job["id"], *["failure"] * 3)
        assert len(slow.received) == 1


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.2:8420/",
        "http://169.254.169.254/latest/",
        "http://[::1]/",
        "http://10.0.0.1",
    ],
)
def test_addresses_that_are_not_public_are_not_called(api: Api, url: str) -> None:
    """The attempt says which address it was, and how to allow it."""
    name, _ = webhook(api, url)
    api.request("POST", f"{PATH}/{name}/test").ok(202)
    (delivery,) = eventually(
        lambda: [one for one in deliveries(api, name) if one["attempts"]], "an attempt"
    )
    assert delivery["event"] == "test"
    assert delivery["attempts"][0]["status_code"] is None
    assert "CRONLEDGER_WEBHOOK_NETWORKS" in delivery["attempts"][0]["error"]


def test_a_redirect_is_not_followed(api: Api, receiver: Receiver) -> None:
    """It is an answer that is no success."""
    receiver.answers, receiver.headers = [302], {"Location": receiver.url}
    name, _ = webhook(api, receiver.url)
    api.request("POST", f"{PATH}/{name}/test").ok(202)
    (delivery,) = eventually(
        lambda: [one for one in deliveries(api, name) if one["attempts"]], "an attempt"
    )
    assert delivery["attempts"][0]["status_code"] == 302
    assert len(receiver.received) == 1


def test_webhooks_are_made_seen_and_deleted(api: Api, operator: Api) -> None:
    """By admins; a name is taken once, and the secret is never shown again."""
    name, secret = webhook(api, "https://ann:pass@hooks.example/services/T0/B1?key=x")
    listed = api.request("GET", PATH).ok()
    assert secret.encode() not in listed.body
    assert {"name": name, "url": "https://hooks.example/…"}.items() <= next(
        one for one in listed.json()["data"] if one["name"] == name
    ).items()
    again = {"name": name, "url": "https://hooks.example/"}
    check_problem(api.request("POST", PATH, payload=again), 409)
    check_problem(api.request("POST", PATH, payload=again | {"url": "ftp://x"}), 400, field="url")
    check_problem(api.request("POST", PATH, payload=again | {"name": "a b"}), 400, field="name")
    for method, path in (("GET", ""), ("POST", "/x/test"), ("DELETE", f"/{name}")):
        check_problem(operator.request(method, PATH + path), 403)
    api.request("DELETE", f"{PATH}/{name}").ok(204)
    for method, path in (("GET", ""), ("POST", "/test"), ("POST", "/secret"), ("DELETE", "")):
        check_problem(api.request(method, f"{PATH}/{name}{path}"), 404)
    check_problem(api.request("GET", f"{PATH}/{name}/deliveries"), 404)
