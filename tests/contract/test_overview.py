"""Questions over everything: which jobs did not run, and which agents there are."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.support.calls import Api, eventually, execution_id, fresh
from tests.support.problems import check_problem
from tests.support.server import ServerProcess
from tests.support.tokens import make_token


def ran(api: Api, job: str, ago: timedelta, **fields: Any) -> str:
    """Let a job have run so long ago."""
    made = datetime.now(UTC) - ago
    began = made.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    claim = {"agent_id": fresh("agent"), "started_at": began}
    held = api.start(job_id=job, id=execution_id(made), claim=claim, **fields)
    held.complete(outcome="exited", exit_code=0, ended_at=began).ok()
    return held.id


def missed(api: Api, job: str) -> dict[str, Any] | None:
    """What is said of a job among those that did not run."""
    data = api.get("/missed").ok().json()["data"]
    found = [one for one in data if one["job_id"] == job]
    assert len(found) <= 1
    return found[0] if found else None


def test_a_job_that_did_not_come_is_named(api: Api) -> None:
    """Expected every day and last run three days ago: it is missed, until it runs."""
    job = fresh("job")
    last = ran(api, job, timedelta(days=3), expected_schedule="@daily", job_name="backup")
    found = missed(api, job)
    assert found is not None
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    # Within a minute after midnight the run of today is not late yet.
    dues = [today, today - timedelta(days=1)]
    assert datetime.fromisoformat(found["due_at"]) in dues
    assert (found["job_name"], found["expected_schedule"]) == ("backup", "@daily")
    assert (found["expected_timezone"], found["last_execution"]["status"]) == (None, "success")
    assert found["last_execution"]["id"] == last
    ran(api, job, timedelta(), expected_schedule="@daily")
    assert missed(api, job) is None


def test_a_job_that_is_no_longer_expected_is_not_missed(api: Api) -> None:
    """The newest execution says whether, and when, the next one should come."""
    job = fresh("job")
    ran(api, job, timedelta(days=3), expected_schedule="0 * * * *", expected_timezone="Asia/Tokyo")
    found = missed(api, job)
    assert found is not None
    assert found["expected_timezone"] == "Asia/Tokyo"
    ran(api, job, timedelta(days=2))
    assert missed(api, job) is None


def test_a_retry_is_expected_as_its_original_was(api: Api) -> None:
    """A retry has the same configuration; an execution without a schedule was never expected."""
    made = api.brought_to("failed", expected_schedule="30 4 * * *", stop_when_cut_off=True)
    again = api.post(f"/{made['id']}/retry").ok(201).json()["id"]
    shown = api.one(again)
    assert (shown["expected_schedule"], shown["expected_timezone"]) == ("30 4 * * *", None)
    assert missed(api, made["job_id"]) is None
    assert missed(api, api.brought_to("success")["job_id"]) is None


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        *(
            ({"expected_schedule": value}, "expected_schedule")
            for value in (
                *("", "@reboot", "@often", "* * * *", "* * * * * *", "60 * * * *", "a b c d e"),
                *("0 0 30 2 *", " 0 0 * * *", "0 0 * * *\n", "0\t0 * * *", "5-1 * * * *", 5),
            )
        ),
        ({"expected_timezone": "UTC"}, "expected_timezone"),
        *(
            ({"expected_schedule": "@daily", "expected_timezone": value}, "expected_timezone")
            for value in ("", "Mars/Base", "../UTC", "America", "/etc/localtime", "Europe/Berlin\n")
        ),
    ],
)
def test_a_schedule_that_never_comes_is_refused(
    api: Api, fields: dict[str, Any], field: str
) -> None:
    """400 that names the field: no schedule, no time zone, one without the other."""
    check_problem(api.post("", {"job_name": "n", "command": "c"} | fields), 400, field=field)


def known(api: Api, agent: str) -> dict[str, Any] | None:
    """What is said of an agent."""
    data = api.request("GET", "/v1/agents").ok().json()["data"]
    return next((one for one in data if one["agent_id"] == agent), None)


def test_an_agent_is_known_by_its_claims(api: Api, server: ServerProcess) -> None:
    """Soon after a claim it is listed, with what it said of itself, and what it runs."""
    agent = fresh("agent")
    token = make_token(server, "agent", agent_id=agent)[1]
    made = api.create(pinned_agent_id=agent)["id"]
    traits = {"labels": ["ssd", "gpu"], "version": "1.2 (py 3.9)", "concurrency": 8}
    body = {"agent_id": agent, **traits}
    api.with_token(token).post("/claim", body).ok()
    found = eventually(lambda: known(api, agent), "the agent is listed")
    assert found is not None
    assert datetime.now(UTC) - datetime.fromisoformat(found.pop("last_seen_at")) < timedelta(
        minutes=1
    )
    assert found == {
        "agent_id": agent,
        "version": "1.2 (py 3.9)",
        "labels": ["gpu", "ssd"],
        "concurrency": 8,
        "token_bound": True,
        "running_count": 1,
        "running": [made],
    }


def test_an_agent_is_known_by_its_heartbeats(api: Api) -> None:
    """One that claims at birth is seen too; of itself it has said nothing."""
    held = api.start()
    agent = held.execution["agent_id"]
    held.heartbeat().ok()
    found = eventually(lambda: known(api, agent), "the agent is listed")
    assert found is not None
    assert (found["version"], found["labels"], found["concurrency"]) == (None, [], None)
    assert (found["token_bound"], found["running"]) == (False, [held.id])
    held.complete(outcome="exited", exit_code=0).ok()
    seen = known(api, agent)
    assert seen is not None
    assert (seen["running_count"], seen["running"]) == (0, [])


def test_these_questions_need_the_scope_read(api: Api, server: ServerProcess) -> None:
    """Another scope is a 403; an unknown parameter a 400."""
    other = api.with_token(make_token(server, "operate")[1])
    for path in ("/v1/agents", "/v1/cron-executions/missed"):
        check_problem(other.request("GET", path), 403)
        check_problem(api.request("GET", path, {"limit": 5}), 400)
