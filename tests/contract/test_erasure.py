"""What should not have been written can be taken away, and the ledger says so."""

from typing import Any

import psycopg
import pytest
from psycopg import sql

from tests.support.calls import Api, Held, Reply, eventually, execution_id, fresh
from tests.support.problems import check_problem
from tests.support.server import ServerProcess
from tests.support.tokens import owner_conninfo

LEAK = "hunter-7 2-leaked"


def _failed(api: Api, leak: str = LEAK, **fields: Any) -> Held:
    """An execution that has failed and told a secret everywhere."""
    held = api.start(**fields)
    held.append(f"out {leak}\n".encode()).ok()
    held.append(f"err {leak}\n".encode(), stream="stderr").ok()
    held.complete(outcome="exited", exit_code=3, error=f"it was {leak}").ok()
    return held


def _places(server: ServerProcess, leak: str) -> list[str]:
    """The tables in which the secret stands."""
    texts = {
        "store.output_chunks": "bytes",
        "store.outputs": "preview",
        "store.messages": "body",
        "store.configurations": "body",
        "store.idempotency": "answer",
        "ledger.events": "payload",
    }
    with psycopg.connect(owner_conninfo(server)) as connection:
        return [
            table
            for table, column in texts.items()
            if connection.execute(
                sql.SQL("SELECT 1 FROM {} WHERE position(%b IN {}) > 0").format(
                    sql.Identifier(*table.split(".")), sql.Identifier(column)
                ),
                [leak.encode()],
            ).fetchone()
        ]


def test_everything_of_a_leaked_secret_goes(server: ServerProcess, api: Api) -> None:
    """Output, message, configuration, kept answers: it stands nowhere; what happened stays."""
    # given
    job, leak, mine = fresh("job"), fresh("leak"), {"Idempotency-Key": fresh("key")}
    wish = {"job_name": job, "command": f"login {leak}", "pinned_agent_id": fresh("nobody")}
    waiting = api.post("", wish, headers=mine).ok(201).json()
    api.cancel(waiting["id"]).ok()
    one = _failed(api, leak, job_name=job, command=f"login {leak}")
    before = api.one(one.id)
    assert len(_places(server, leak)) == 5
    # when
    everything = {"bodies": ["output", "messages", "configuration"], "reason": "secret"}
    for left in (waiting["id"], one.id):
        answer = api.post(f"/{left}/erase", everything | {"shared": True}).ok().json()
        assert answer["configuration_erased"]
    # then
    assert _places(server, leak) == []
    after = api.one(one.id)
    gone = ("output", "error", "stderr", "job_name", "command")
    assert [after[name] for name in gone] == ["", "exited with code 3", "", "", ""]
    assert after["output_erased_at"] is not None
    assert (after["output_bytes"], after["output_truncated"]) == (before["output_bytes"], True)
    same = ("status", "exit_code", "job_id", "created_at", "completed_at", "duration_ms")
    assert [after[name] for name in same] == [before[name] for name in same]
    told = api.events(one.id)[-1]
    assert (told["type"], told["data"]["reason"]) == ("execution.bodies_erased", "secret")
    assert told["actor"].startswith("operator:tok_")
    again = api.post("", wish, headers=mine).ok(201).json()
    assert (again["id"], again["command"], again["status"]) == (waiting["id"], "", "canceled")


def test_erased_output_is_gone_from_logs(api: Api) -> None:
    """410 with a sentence; a follower is told the end; to erase again changes nothing."""
    one = _failed(api)
    api.post(f"/{one.id}/erase").ok()
    for stream in ("stdout", "stderr"):
        problem = check_problem(api.get(f"/{one.id}/logs", {"stream": stream}), 410)
        assert "erased at" in problem["detail"]
    followed = api.get(f"/{one.id}/logs", {"follow": "true"}).ok().body
    assert b"event: end" in followed
    assert LEAK.encode() not in followed
    api.post(f"/{one.id}/erase").ok()
    assert api.types(one.id).count("bodies_erased") == 1
    assert api.one(one.id)["error"] == f"it was {LEAK}"
    listed = api.get("", {"job_id": one.execution["job_id"]}).ok().json()["data"][0]
    assert (listed["output"], listed["output_erased_at"] is None) == ("", False)


@pytest.mark.parametrize("status", ["pending", "running"])
def test_what_has_not_ended_cannot_be_erased(api: Api, status: str) -> None:
    """409 that names the status and what to do."""
    made = api.brought_to(status)
    problem = check_problem(api.post(f"/{made['id']}/erase"), 409)
    assert status in problem["detail"]
    assert "cancel it, or wait" in problem["detail"]


def test_a_shared_configuration_goes_only_on_an_explicit_word(api: Api) -> None:
    """Others that name it are counted; with the word all lose it, and no retry can run blindly."""
    # given
    job = {"job_name": fresh("job"), "command": f"login {LEAK}"}
    first, second = _failed(api, **job), _failed(api, **job)
    body = {"bodies": ["configuration"], "reason": "secret"}
    # when, then
    problem = check_problem(api.post(f"/{first.id}/erase", body), 409)
    assert "(1)" in problem["detail"]
    assert not api.one(first.id)["configuration_erased"]
    api.post(f"/{first.id}/erase", body | {"shared": True}).ok()
    for one in (first, second):
        assert api.one(one.id)["configuration_erased"]
        problem = check_problem(api.post(f"/{one.id}/retry"), 409)
        assert "configuration of this execution or job was erased" in problem["detail"]
    assert api.types(second.id)[-1] == "completed"
    # Who runs the same again brings it back, for all who name it.
    api.start(**job)
    assert api.one(second.id)["command"] == f"login {LEAK}"


def test_a_configuration_that_somebody_waits_for_stays(api: Api) -> None:
    """409 while a pending execution names it; after its cancel it can go."""
    one = _failed(api)
    again = api.post(f"/{one.id}/retry").ok(201).json()
    body = {"bodies": ["configuration"], "shared": True}
    assert "pending" in check_problem(api.post(f"/{one.id}/erase", body), 409)["detail"]
    api.cancel(again["id"]).ok()
    api.post(f"/{one.id}/erase", body).ok()
    assert api.one(again["id"])["configuration_erased"]


def test_a_report_that_comes_again_after_an_erasure_is_taken_as_before(api: Api) -> None:
    """The agent whose answer was lost gets its 200, also with its output in the report."""
    held = api.start()
    report: dict[str, Any] = {"outcome": "exited", "exit_code": 3, "output": "told\n"}
    held.complete(**report).ok()
    api.post(f"/{held.id}/erase").ok()
    held.complete(**report).ok()
    assert api.types(held.id) == ["created", "started", "completed", "bodies_erased"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"bodies": []}, "bodies"),
        ({"bodies": ["events"]}, "bodies"),
        ({"reason": "because it leaked"}, "reason"),
        ({"reason": "retention"}, "reason"),
        ({"shared": 1}, "shared"),
        ({"what": "output"}, "what"),
    ],
)
def test_a_wrong_request_names_the_field(api: Api, body: dict[str, Any], field: str) -> None:
    """400, and nothing is erased."""
    one = _failed(api)
    problem = check_problem(api.post(f"/{one.id}/erase", body), 400)
    assert problem["error"]["details"][0]["field"].startswith(field)
    assert api.one(one.id)["output_erased_at"] is None


def test_only_an_administrator_may_erase(operator: Api, api: Api) -> None:
    """403 for a token that may operate; 404 for what is not there."""
    one = _failed(api)
    check_problem(operator.post(f"/{one.id}/erase"), 403)
    check_problem(api.post(f"/{execution_id()}/erase"), 404)
    assert api.logs(one.id) == f"out {LEAK}\n".encode()


def test_retention_says_what_is_kept(api: Api) -> None:
    """Without a limit everything is kept for ever, and nothing is due."""
    _failed(api)
    shown = api.request("GET", "/v1/retention").ok().json()
    assert shown["failure"]["kept_executions"] >= 1
    assert shown["failure"]["kept_bytes"] >= len(LEAK)
    for kept in shown.values():
        assert (kept["days"], kept["bytes_max"]) == (None, None)
        assert (kept["due_executions"], kept["due_bytes"]) == (0, 0)


def _made(api: Api, leak: str, **fields: Any) -> dict[str, Any]:
    """A job in all of whose texts a secret stands."""
    job = {
        "name": fresh("job"),
        "schedule": "@daily",
        "command": f"login {leak}",
        "environment": {"TOKEN": leak},
        "agent_id": "nobody",
    }
    asked = job | fields
    answer = api.request(
        "POST", "/v1/cron-jobs", payload=asked, headers={"Idempotency-Key": asked["name"]}
    )
    made: dict[str, Any] = {"asked": asked} | answer.ok(201).json()
    return made


def _erased(api: Api, job: dict[str, Any], **body: Any) -> Reply:
    """Ask for the erasure of what a job had."""
    return api.request("POST", f"/v1/cron-jobs/{job['id']}/erase", payload=body)


def test_a_secret_goes_from_what_a_job_was(server: ServerProcess, api: Api) -> None:
    """A job that goes on loses its former texts, and keeps what it is now; its trail says so."""
    # given
    leak = fresh("leak")
    job = _made(api, leak)
    one = f"/v1/cron-jobs/{job['id']}"
    run = api.request("POST", f"{one}/run").ok(201).json()
    change = {"command": "login --safely", "environment": {}}
    api.request("PATCH", one, payload=change).ok()
    assert _places(server, leak) == ["store.configurations", "store.idempotency"]
    # when, then
    assert "(1)" in check_problem(_erased(api, job), 409)["detail"]
    assert "pending" in check_problem(_erased(api, job, shared=True), 409)["detail"]
    api.cancel(run["id"]).ok()
    erased = _erased(api, job, shared=True, reason="secret").ok().json()
    assert erased == {"id": job["id"], "erased": 1}
    assert _places(server, leak) == []
    assert api.request("GET", one).ok().json()["command"] == "login --safely"
    told = api.request("GET", f"{one}/events").ok().json()["data"][-1]
    assert (told["type"], told["data"]["reason"]) == ("job.bodies_erased", "secret")
    assert _erased(api, job).ok().json()["erased"] == 0
    again = api.request(
        "POST", "/v1/cron-jobs", payload=job["asked"], headers={"Idempotency-Key": job["name"]}
    )
    assert again.ok(201).json()["command"] == "login --safely"
    api.request("POST", f"{one}/run").ok(201)


def test_what_a_job_runs_with_stays(api: Api) -> None:
    """409 that names the job, and not first that others share it; once changed it goes."""
    # given
    job = _made(api, LEAK)
    one = f"/v1/cron-jobs/{job['id']}"
    first, second = (api.request("POST", f"{one}/run").ok(201).json() for _ in range(2))
    for run in (first, second):
        api.cancel(run["id"]).ok()
    # when, then
    body: dict[str, Any] = {"bodies": ["configuration"]}
    for asked in (body, body | {"shared": True}):
        problem = check_problem(api.post(f"/{first['id']}/erase", asked), 409)
        assert f"The job {job['id']} runs with this configuration" in problem["detail"]
    api.request("PATCH", one, payload={"command": "login --safely", "environment": {}}).ok()
    assert "(1)" in check_problem(api.post(f"/{first['id']}/erase", body), 409)["detail"]
    gone = api.post(f"/{first['id']}/erase", body | {"shared": True}).ok().json()
    assert gone["configuration_erased"]


def test_what_a_held_execution_waits_with_stays(api: Api) -> None:
    """409 as for any that is pending, whether one run's configuration goes or the job's former."""
    # given
    agent = fresh("agent")
    job = _made(api, LEAK, agent_id=agent, max_concurrent=1)
    one = f"/v1/cron-jobs/{job['id']}"
    ended = api.request("POST", f"{one}/run").ok(201).json()
    api.cancel(ended["id"]).ok()
    api.request("POST", f"{one}/run").ok(201)
    held = api.request("POST", f"{one}/run").ok(201).json()
    assert held["held"] == "max_concurrent"
    running = api.claim(agent)
    assert running is not None
    api.request("PATCH", one, payload={"command": "login --safely", "environment": {}}).ok()
    # when, then
    body = {"bodies": ["configuration"], "shared": True}
    assert "pending" in check_problem(api.post(f"/{ended['id']}/erase", body), 409)["detail"]
    assert "pending" in check_problem(_erased(api, job, shared=True), 409)["detail"]
    running.complete(outcome="exited", exit_code=0).ok()
    # Until there is room for it, its agent would get what anybody may run.
    eventually(lambda: api.one(held["id"])["held"] is None, "room for it")
    begun = api.claim(agent)
    assert begun is not None
    assert begun.execution["command"] == f"login {LEAK}"
    begun.complete(outcome="exited", exit_code=0).ok()


def test_nothing_is_left_of_a_deleted_job(server: ServerProcess, api: Api) -> None:
    """All its texts go, though it never ran; made again, it has them again and keeps them."""
    leak = fresh("leak")
    job = _made(api, leak, notification_config={"on_failure": ["https://hooks.example/x"]})
    api.request("DELETE", f"/v1/cron-jobs/{job['id']}").ok(204)
    assert _erased(api, job).ok().json()["erased"] == 2
    assert _places(server, leak) == []
    wish = dict(job["asked"])
    api.request("POST", "/v1/cron-jobs", payload=wish).ok(201)
    assert _erased(api, job).ok().json()["erased"] == 0
    shown = api.request("GET", f"/v1/cron-jobs/{job['id']}").ok().json()
    assert shown["command"] == f"login {leak}"


def test_only_a_job_that_was_there_can_be_erased(api: Api) -> None:
    """404 for any other; what is no reason is a 400."""
    check_problem(_erased(api, {"id": fresh("none")}), 404)
    check_problem(_erased(api, {"id": fresh("none")}, reason="boredom"), 400)
