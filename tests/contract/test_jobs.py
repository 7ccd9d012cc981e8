"""Jobs over HTTP: what they are made of, who may change them, and what becomes of them."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from domain.ids import derived_job_id
from tests.support.calls import PATH as EXECUTIONS
from tests.support.calls import Api, Reply, fresh
from tests.support.problems import check_problem
from tests.support.server import ServerProcess
from tests.support.tokens import make_token

PATH = "/v1/cron-jobs"
SECRET = "s3cret-value"


def post(api: Api, rest: str = "", payload: Any = ..., **options: Any) -> Reply:
    """POST below the jobs' path."""
    return api.request("POST", PATH + rest, payload=payload, **options)


def made(api: Api, **fields: Any) -> dict[str, Any]:
    """Define a job; unless told otherwise, one for an agent that never comes."""
    body = {"name": fresh("job"), "schedule": "@daily", "command": "true", "agent_id": "nobody"}
    return dict(post(api, "", body | fields).ok(201).json())


def got(api: Api, job: Mapping[str, Any]) -> dict[str, Any]:
    """The job as it is now."""
    return dict(api.request("GET", f"{PATH}/{job['id']}").ok().json())


def change(api: Api, job: Mapping[str, Any], body: Any, **options: Any) -> Reply:
    """PATCH a job."""
    return api.request("PATCH", f"{PATH}/{job['id']}", payload=body, **options)


def events(api: Api, job: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The audit trail of a job."""
    return list(api.request("GET", f"{PATH}/{job['id']}/events").ok().json()["data"])


def types(api: Api, job: Mapping[str, Any]) -> list[str]:
    """What happened to a job, in a word each."""
    return [event["type"].removeprefix("job.") for event in events(api, job)]


def test_a_job_has_what_it_needs_and_defaults_for_the_rest(api: Api) -> None:
    """Name, schedule and command are enough; the answer says where it is and all that holds."""
    name = fresh("job")
    body = {"name": name, "schedule": "every weekday at 9am", "command": "true"}
    answer = post(api, "", body).ok(201)
    job = answer.json()
    assert answer.headers["Location"] == f"{PATH}/{job['id']}"
    assert job["id"] == derived_job_id(name)
    assert (job["schedule"], job["schedule_cron"]) == ("every weekday at 9am", "0 9 * * 1-5")
    assert (job["timezone"], job["timeout_seconds"], job["is_enabled"]) == ("UTC", 300, True)
    assert (job["missed_policy"], job["overlap_policy"], job["retry_config"]) == (
        *("run_once", "allow"),
        None,
    )
    assert datetime.fromisoformat(job["next_run_at"]) > datetime.now(UTC)
    assert (job["last_run_at"], job["last_status"], job["version"]) == (None, None, 1)
    assert got(api, job) == job | {"next_run_at": got(api, job)["next_run_at"]}


FULL: dict[str, Any] = {
    "schedule": "*/10 2 * * *",
    "timezone": "Europe/Berlin",
    "command": ["backup", "--all"],
    "working_dir": "/srv",
    "timeout_seconds": 3600,
    "tags": ["db", "nightly"],
    "labels": ["gpu"],
    "agent_id": "host-1",
    "is_enabled": False,
    "missed_policy": "run_all",
    "missed_limit": 5,
    "overlap_policy": "queue",
    "max_concurrent": 2,
    "max_concurrent_per_tag": {"db": 3},
    "start_deadline_seconds": 600,
    "jitter_seconds": 30,
    "retry_config": {
        "max_retries": 3,
        "intervals_seconds": [10, 60],
        "backoff_factor": 3,
        "interval_seconds_max": 600,
        "on": ["exit_code", "timeout"],
        "exit_codes": [75],
    },
}


def test_all_of_a_job_comes_back(api: Api) -> None:
    """Everything that can be said is kept; of secrets the names, of webhooks the hosts."""
    secret = {"environment": {"COLOR": "blue", "TOKEN": SECRET}, "secrets": ["TOKEN"]}
    hooks = {"notification_config": {"on_failure": [f"https://u:p@hooks.example/{SECRET}"]}}
    job = got(api, made(api, **FULL, **secret, **hooks))
    assert {name: job[name] for name in FULL} == FULL
    assert (job["environment"], job["secrets"]) == ({"COLOR": "blue"}, ["TOKEN"])
    assert job["notification_config"]["on_failure"] == ["https://hooks.example/…"]
    assert (job["agent_name"], job["next_run_at"]) == ("host-1", None)
    assert SECRET not in json.dumps([job, events(api, job)])


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"schedule": "every fortnight"}, "schedule"),
        ({"schedule": "@reboot"}, "schedule"),
        ({"schedule": "0 0 30 2 *"}, "schedule"),
        ({"schedule": ...}, "schedule"),
        ({"command": ...}, "command"),
        ({"command": " "}, "command"),
        ({"timezone": "Mars/Base"}, "timezone"),
        ({"id": "explain"}, "id"),
        ({"id": "a b"}, "id"),
        ({"timeout_seconds": 3601}, "timeout_seconds"),
        ({"timeout_seconds": 5.0}, "timeout_seconds"),
        ({"missed_limit": 5}, "missed_limit"),
        ({"missed_policy": "later"}, "missed_policy"),
        ({"overlap_policy": "maybe"}, "overlap_policy"),
        ({"max_concurrent": 0}, "max_concurrent"),
        ({"tags": ["a b"]}, "tags"),
        ({"max_concurrent_per_tag": {"db": 1}}, "max_concurrent_per_tag"),
        ({"agent_id": "a b"}, "agent_id"),
        ({"retry_config": {}}, "retry_config.max_retries"),
        ({"retry_config": {"max_retries": 1, "on": ["luck"]}}, "retry_config.on[0]"),
        ({"notification_config": {"on_failure": ["ftp://x"]}}, "notification_config.on_failure"),
        ({"notification_config": {"on_missed": ["https://"]}}, "notification_config.on_missed"),
        ({"secrets": ["TOKEN"]}, "secrets"),
        (
            {"environment": {"T": SECRET}, "secrets": ["T"], "command": f"curl {SECRET}"},
            "secrets",
        ),
        ({"crontab": "x"}, "crontab"),
    ],
)
def test_what_is_wrong_with_a_job_is_named(api: Api, fields: dict[str, Any], field: str) -> None:
    """400 that names the field, and nothing is made."""
    body = {"name": fresh("job"), "schedule": "@daily", "command": "true"} | fields
    body = {name: value for name, value in body.items() if value is not ...}
    check_problem(post(api, "", body), 400, field=field)


def test_a_name_is_taken_once(api: Api) -> None:
    """409 for its own id, for another id with that name, and for a job that takes that name."""
    job = made(api)
    body = {"name": job["name"], "schedule": None, "command": "true"}
    check_problem(post(api, "", body), 409)
    check_problem(post(api, "", body | {"id": fresh("id")}), 409)
    check_problem(change(api, made(api), {"name": job["name"]}), 409)


def test_an_equal_request_with_a_key_makes_one_job(api: Api) -> None:
    """The same key and body give the same bytes again; another body is a 422."""
    body = {"name": fresh("job"), "schedule": None, "command": "true"}
    headers = {"Idempotency-Key": fresh("key")}
    first = post(api, "", body, headers=headers).ok(201)
    again = post(api, "", body, headers=headers).ok(201)
    assert (first.body, first.headers["Location"]) == (again.body, again.headers["Location"])
    check_problem(post(api, "", body | {"command": "x"}, headers=headers), 422)


def test_a_change_leaves_the_rest(api: Api) -> None:
    """What is named is replaced whole; secrets that are not named stay; null takes away."""
    environment = {"COLOR": "blue", "TOKEN": SECRET, "PIN": "4711"}
    hooks = {"on_failure": ["https://a.example/x"], "on_success": ["https://b.example/x"]}
    job = made(
        api,
        **{**FULL, "is_enabled": True},
        environment=environment,
        secrets=["TOKEN", "PIN"],
        notification_config=hooks,
    )
    changed = change(
        api,
        job,
        {
            "schedule": "every hour",
            "environment": {"SIZE": "L"},
            "secrets": ["TOKEN"],
            "tags": ["nightly"],
            "working_dir": None,
            "missed_policy": "skip",
            "notification_config": {"on_success": []},
        },
    ).ok()
    now = changed.json()
    assert changed.headers["ETag"] == '"2"'
    assert (now["schedule_cron"], now["timezone"]) == ("0 * * * *", "Europe/Berlin")
    assert (now["environment"], now["secrets"]) == ({"SIZE": "L"}, ["TOKEN"])
    assert (now["tags"], now["max_concurrent_per_tag"]) == (["nightly"], {})
    assert (now["working_dir"], now["missed_limit"]) == (None, None)
    shown = now["notification_config"]
    assert (shown["on_failure"], shown["on_success"]) == (["https://a.example/…"], [])
    assert now["retry_config"] == FULL["retry_config"]
    # A secret that was kept is the one that an agent gets.
    run = post(api, f"/{job['id']}/run").ok(201).json()
    agent = make_claim(api, "host-1", "gpu")
    assert (agent["id"], agent["environment"]) == (run["id"], {"SIZE": "L", "TOKEN": SECRET})


def make_claim(api: Api, agent: str, *labels: str) -> dict[str, Any]:
    """What an agent is told of the execution that it takes."""
    body = {"agent_id": agent, "labels": list(labels)}
    return dict(api.post("/claim", body).ok().json()["execution"])


def test_an_equal_change_is_none(api: Api) -> None:
    """Nothing is recorded, and the version stays."""
    job = made(api)
    assert change(api, job, {"schedule": job["schedule"]}).ok().json()["version"] == 1
    assert change(api, job, {}).ok().json()["version"] == 1
    assert types(api, job) == ["created"]


def test_of_two_editors_the_second_is_told(api: Api) -> None:
    """412 for a header, 409 for a member of the body, and nothing is overwritten."""
    job = made(api)
    change(api, job, {"command": "one"}, headers={"If-Match": '"1"'}).ok()
    stale = {"If-Match": '"1"'}
    detail = check_problem(change(api, job, {"command": "two"}, headers=stale), 412)["detail"]
    assert "version 2" in detail
    check_problem(change(api, job, {"command": "two", "version": 1}), 409)
    check_problem(post(api, f"/{job['id']}/pause", headers=stale), 412)
    check_problem(api.request("DELETE", f"{PATH}/{job['id']}", headers=stale), 412)
    check_problem(change(api, job, {}, headers={"If-Match": "2"}), 400, field="If-Match")
    assert got(api, job)["command"] == "one"
    change(api, job, {"command": "two", "version": 2}).ok()
    change(api, job, {"command": "three"}, headers={"If-Match": "*"}).ok()


def test_pause_and_resume_are_said_once(api: Api) -> None:
    """Again changes nothing; a paused job is due at no time."""
    job = made(api)
    for _ in range(2):
        paused = post(api, f"/{job['id']}/pause").ok().json()
        assert (paused["is_enabled"], paused["next_run_at"], paused["version"]) == (False, None, 2)
    for _ in range(2):
        assert post(api, f"/{job['id']}/resume").ok().json()["is_enabled"] is True
    assert change(api, job, {"is_enabled": False}).ok().json()["is_enabled"] is False
    assert types(api, job) == ["created", "paused", "resumed", "paused"]


def test_a_run_is_an_execution_of_the_job(api: Api) -> None:
    """At once, also of a paused job, with its configuration; the job shows how it went."""
    job = made(api, **{**FULL, "agent_id": fresh("host"), "labels": []})
    headers = {"Idempotency-Key": fresh("key")}
    run = post(api, f"/{job['id']}/run", headers=headers).ok(201)
    again = post(api, f"/{job['id']}/run", headers=headers).ok(201)
    assert (run.body, run.headers["Location"]) == (again.body, f"{EXECUTIONS}/{run.json()['id']}")
    shown = api.one(run.json()["id"])
    assert (shown["job_id"], shown["triggered_by"]) == (job["id"], "manual")
    for name in ("command", "timeout_seconds", "working_dir", "start_deadline_seconds"):
        assert shown[name] == FULL[name]
    held = api.claim(job["agent_id"])
    assert held is not None
    held.complete(outcome="exited", exit_code=3).ok()
    now = got(api, job)
    assert (now["last_status"], now["last_execution_id"]) == ("failed", held.id)
    assert now["last_run_at"] == api.one(held.id)["started_at"]


def test_runs_of_its_name_are_its_history(api: Api) -> None:
    """What `exec` recorded under a name before there was a job of it is the job's last run."""
    name = fresh("job")
    ran = api.brought_to("success", job_name=name)
    job = made(api, name=name)
    assert (job["id"], job["last_execution_id"]) == (ran["job_id"], ran["id"])


def test_a_deleted_job_is_gone_and_can_be_made_again(api: Api) -> None:
    """404 for it, its trail and its runs stay, and the next one of that name goes on in it."""
    job = made(api)
    run = post(api, f"/{job['id']}/run").ok(201).json()["id"]
    deleted = api.request("DELETE", f"{PATH}/{job['id']}")
    assert (deleted.status, deleted.body) == (204, b"")
    for method, rest in (("GET", ""), ("DELETE", ""), ("POST", "/pause"), ("POST", "/run")):
        check_problem(api.request(method, f"{PATH}/{job['id']}{rest}"), 404)
    check_problem(change(api, job, {"command": "x"}), 404)
    assert api.one(run)["status"] == "pending"
    again = made(api, name=job["name"])
    assert (again["id"], again["version"]) == (job["id"], 3)
    assert types(api, job) == ["created", "deleted", "created"]


def listed(api: Api, **query: Any) -> list[str]:
    """The names of the jobs that match."""
    page = api.request("GET", PATH, {"limit": 100, **query}).ok().json()
    return [job["name"] for job in page["data"]]


def test_jobs_are_listed_by_what_is_asked(api: Api) -> None:
    """By tag, state, agent and a part of the name in any case, newest first, page by page."""
    mark, tag = fresh("Größe"), fresh("tag")
    jobs = [
        made(api, name=f"{mark} {number}", tags=[tag] if number else [], is_enabled=number != 2)
        for number in range(3)
    ]
    names = [job["name"] for job in jobs]
    assert listed(api, q=mark.replace("Gr", "gR")) == names[::-1]
    assert listed(api, tag=tag) == [names[2], names[1]]
    assert listed(api, tag=tag, is_enabled="false") == [names[2]]
    assert listed(api, q=mark, is_enabled="true") == [names[1], names[0]]
    assert listed(api, q=mark, agent_id="nobody") == names[::-1]
    assert listed(api, q=mark, agent_id="host-2") == []
    page = api.request("GET", PATH, {"q": mark, "limit": 2, "offset": 1}).ok().json()
    assert [job["name"] for job in page["data"]] == [names[1], names[0]]
    assert page["pagination"] == {
        "limit": 2,
        "offset": 1,
        "total": 3,
        "total_is_exact": True,
        "has_more": False,
        "next_cursor": None,
    }
    assert api.request("GET", PATH).ok().json()["pagination"]["limit"] == 20


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"limit": 101}, "limit"),
        ({"offset": -1}, "offset"),
        ({"is_enabled": "yes"}, "is_enabled"),
        ({"name": "x"}, "name"),
        ([("tag", "a"), ("tag", "b")], "tag"),
        ({"q": "\0"}, "q"),
    ],
)
def test_a_wrong_filter_lists_nothing(api: Api, query: Any, field: str) -> None:
    """400 that names the parameter."""
    check_problem(api.request("GET", PATH, query), 400, field=field)


def test_a_schedule_is_explained(api: Api) -> None:
    """As cron, in words, and the next ten times, in UTC and by the zone's own clock."""
    query = {"schedule": "every day at 2:30am", "timezone": "Asia/Kolkata"}
    told = api.request("GET", f"{PATH}/explain", query).ok().json()
    assert (told["schedule_cron"], told["sentence"]) == ("30 2 * * *", "At 02:30 every day")
    assert len(told["next"]) == 10
    for due in told["next"]:
        assert due["local"].endswith("T02:30:00+05:30")
        assert datetime.fromisoformat(due["at"]) == datetime.fromisoformat(due["local"])
    wrong = api.request("GET", f"{PATH}/explain", {"schedule": "every fortnight"})
    assert "every weekday at 9am" in check_problem(wrong, 400, field="schedule")["detail"]
    check_problem(api.request("GET", f"{PATH}/explain"), 400, field="schedule")


def test_defining_a_job_is_a_right_of_its_own(api: Api, server: ServerProcess) -> None:
    """`jobs` changes, `read` looks, `operate` runs; none does what another may."""
    job = made(api)
    one = f"{PATH}/{job['id']}"
    may = {
        "read": [("GET", PATH), ("GET", one), ("GET", f"{one}/events")],
        "operate": [("POST", f"{one}/run")],
        "jobs": [("POST", f"{one}/pause"), ("PATCH", one), ("DELETE", one)],
    }
    tokens = {scope: api.with_token(make_token(server, scope)[1]) for scope in may}
    for scope, calls in may.items():
        for method, path in calls:
            for other in tokens.keys() - {scope}:
                check_problem(tokens[other].request(method, path), 403)
            payload: Any = {} if method in {"POST", "PATCH"} else ...
            tokens[scope].request(method, path, payload=payload).ok(200, 201, 204)
    check_problem(post(tokens["operate"], "", {}), 403)


@pytest.mark.parametrize("job_id", ["x", "a b", "%00", "exec_1", "ä"])
def test_what_is_no_job_is_not_found(api: Api, job_id: str) -> None:
    """Whatever stands in the path."""
    path = f"{PATH}/{job_id}".replace(" ", "%20").replace("ä", "%C3%A4")
    check_problem(api.request("GET", path), 404)
    check_problem(api.request("PATCH", path, payload={}), 404)
