"""Failures that are retried by themselves, as their jobs say."""

from typing import Any

import pytest

from tests.contract.test_jobs import made, post
from tests.support.calls import Api, Held, eventually, fresh

AT_ONCE = {"max_retries": 2, "intervals_seconds": [0]}
LATER = {"max_retries": 2, "intervals_seconds": [3600]}


def failed(api: Api, job: dict[str, Any], **report: Any) -> str:
    """Let a run of the job fail."""
    post(api, f"/{job['id']}/run").ok(201)
    held = claimed(api, job)
    held.complete(**({"outcome": "exited", "exit_code": 3} | report)).ok()
    return held.id


def claimed(api: Api, job: dict[str, Any]) -> Held:
    """Begin the next run of the job, whatever others have left for anyone."""

    def look() -> Held | None:
        held = api.claim(job["agent_id"], wait_seconds=1)
        return held if held is not None and held.execution["job_id"] == job["id"] else None

    found = eventually(look, "the next run of the job")
    assert found is not None
    return found


def planned(api: Api, execution: str) -> dict[str, Any] | None:
    """The retry of an execution that is to come."""
    data = api.request("GET", "/v1/planned-retries").ok().json()["data"]
    return next((one for one in data if one["execution_id"] == execution), None)


def no_retry(api: Api, job: dict[str, Any]) -> None:
    """Nothing of the job waits, now that a later failure of another job has been retried."""
    other = made(api, agent_id=fresh("agent"), retry_config=AT_ONCE)
    failed(api, other)
    claimed(api, other)
    assert api.all_pages({"job_id": job["id"], "status": "pending"}) == []


def test_a_failure_is_retried_as_often_as_the_job_says(api: Api) -> None:
    """Each retry is one of the failed one, made by the server; after the last there is no more."""
    job = made(api, agent_id=fresh("agent"), retry_config=AT_ONCE)
    lineage = [failed(api, job)]
    for attempt in (2, 3):
        held = claimed(api, job)
        shown = api.one(held.id)
        assert (shown["triggered_by"], shown["attempt"]) == ("retry", attempt)
        assert (shown["retry_of"], shown["root_id"]) == (lineage[-1], lineage[0])
        assert api.events(held.id)[0]["actor"] == "server:retry"
        lineage.append(held.id)
        held.complete(outcome="exited", exit_code=3).ok()
    no_retry(api, job)
    assert [api.types(one).count("retried") for one in lineage] == [1, 1, 0]


@pytest.mark.parametrize(
    ("config", "report"),
    [
        ({"on": ["timeout"]}, {}),
        ({"exit_codes": [75]}, {}),
        ({"max_retries": 0}, {}),
        ({}, {"exit_code": 0}),
    ],
)
def test_what_does_not_qualify_is_not_retried(
    api: Api, config: dict[str, Any], report: dict[str, Any]
) -> None:
    """Another reason, another exit code, no retries allowed, a success."""
    job = made(api, agent_id=fresh("agent"), retry_config=AT_ONCE | config)
    failed(api, job, **report)
    no_retry(api, job)


def test_a_canceled_run_is_not_retried(api: Api) -> None:
    """Also if its command ended with a failure before the cancel came to be confirmed."""
    job = made(api, agent_id=fresh("agent"), retry_config=AT_ONCE)
    post(api, f"/{job['id']}/run").ok(201)
    held = claimed(api, job)
    held.api.cancel(held.id).ok(202)
    held.complete(outcome="exited", exit_code=143).ok()
    no_retry(api, job)


@pytest.mark.parametrize("by", ["retry", "pause", "delete"])
def test_a_planned_retry_is_shown_until_somebody_ends_it(api: Api, by: str) -> None:
    """It says when and which attempt; a person's retry, a pause or a delete of the job ends it."""
    job = made(api, agent_id=fresh("agent"), retry_config=LATER)
    execution = failed(api, job)
    found = eventually(lambda: planned(api, execution), "a planned retry")
    assert found is not None
    assert (found["job_id"], found["attempt"], found["is_late"]) == (job["id"], 2, False)
    match by:
        case "retry":
            api.post(f"/{execution}/retry").ok(201)
        case "pause":
            post(api, f"/{job['id']}/pause").ok()
        case _:
            api.request("DELETE", f"/v1/cron-jobs/{job['id']}").ok(204)
    eventually(lambda: planned(api, execution) is None, "no planned retry")
