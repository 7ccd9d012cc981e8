"""The audit trail of a job, and the place of its events in the ledger."""

import json

from tests.contract.test_jobs import PATH, change, events, made
from tests.support.calls import Api, fresh
from tests.support.problems import check_problem


def test_the_audit_trail_says_who(api: Api, operator: Api) -> None:
    """Each event with actor, times and digests; none of the texts."""
    job = made(api, command="a very particular command")
    assert "particular" not in json.dumps(events(operator, job))
    event = events(api, job)[0]
    assert event["actor"].startswith("operator:tok_")
    assert event["data"]["plan"]["cron"] == "0 0 * * *"
    assert set(event["data"]) == {"job_id", "definition", "configuration", "plan"}
    check_problem(api.request("GET", f"{PATH}/{fresh('job')}/events"), 404)


def test_the_audit_trail_says_what_the_job_was_after_each_event(api: Api) -> None:
    """What a job was due by, and whether it was, stands beside each event."""
    # given
    job = made(api)
    path = f"{PATH}/{job['id']}"
    # when
    change(api, job, {"schedule": "0 5 * * *"}).ok()
    api.request("POST", path + "/pause").ok()
    api.request("DELETE", path).ok(204)
    # then
    trail = events(api, job)
    assert [(one["state"]["status"], one["state"]["plan"]["cron"]) for one in trail] == [
        ("enabled", "0 0 * * *"),
        ("enabled", "0 5 * * *"),
        ("paused", "0 5 * * *"),
        ("deleted", "0 5 * * *"),
    ]
    assert [one["state"]["version"] for one in trail] == [1, 2, 3, 4]
    assert {one["unreadable"] for one in trail} == {None}


def test_the_ledger_names_the_job_of_its_events(api: Api) -> None:
    """By the filter for a job come its own events as well as those of what it ran."""
    job = made(api)
    api.request("POST", f"{PATH}/{job['id']}/pause").ok()
    api.request("POST", f"{PATH}/{job['id']}/run").ok(201)
    page = api.request("GET", "/v1/events", query={"job_id": job["id"]}).ok().json()["data"]
    assert [one["type"] for one in page] == ["job.created", "job.paused", "execution.created"]
    assert {one["job_id"] for one in page} == {job["id"]}
