"""Who may do what: tokens, scopes, agents, and the audit trail that names them."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from tests.support.calls import PATH, Api, Held, Reply, eventually, fresh
from tests.support.problems import check_problem
from tests.support.server import ServerProcess
from tests.support.tokens import make_token, revoke_token

SCOPES = ("read", "operate", "agent")


@pytest.fixture(scope="session")
def scoped(server: ServerProcess) -> dict[str, Api]:
    """A client for each scope, with that scope alone."""
    return {scope: server.api.with_token(make_token(server, scope)[1]) for scope in SCOPES}


OPERATIONS: dict[str, tuple[str, Callable[[Api, str], Reply]]] = {
    "list": ("read", lambda api, _: api.get()),
    "get": ("read", lambda api, one: api.get(f"/{one}")),
    "logs": ("read", lambda api, one: api.get(f"/{one}/logs")),
    "events": ("read", lambda api, one: api.get(f"/{one}/events")),
    "metrics": ("read", lambda api, _: api.request("GET", "/metrics")),
    "create": ("operate", lambda api, _: api.post("", {"job_name": "n", "command": "true"})),
    "retry": ("operate", lambda api, one: api.post(f"/{one}/retry")),
    "cancel": ("operate", lambda api, one: api.post(f"/{one}/cancel")),
    "claim": ("agent", lambda api, _: api.post("/claim", {"agent_id": fresh("agent")})),
    "heartbeat": ("agent", lambda api, one: api.post(f"/{one}/heartbeat", {})),
    "append": ("agent", lambda api, one: api.post(f"/{one}/logs?stream=stdout&offset=0")),
    "complete": (
        "agent",
        lambda api, one: api.post(f"/{one}/complete", {"outcome": "exited", "exit_code": 0}),
    ),
}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_each_operation_needs_its_scope(api: Api, scoped: dict[str, Api], operation: str) -> None:
    """With another scope alone it is a 403 that names the missing one; with its own it is not."""
    needed, call = OPERATIONS[operation]
    made = api.create()["id"]
    for scope, client in scoped.items():
        answer = call(client, made)
        if scope == needed:
            assert answer.status not in {401, 403}
        else:
            assert needed in check_problem(answer, 403)["detail"]


@pytest.mark.parametrize("operation", OPERATIONS)
def test_each_operation_needs_a_token(api: Api, operation: str) -> None:
    """None: 401 `authentication_required`. Unknown: 401 `invalid_token`. Both say how to ask."""
    _, call = OPERATIONS[operation]
    made = api.create()["id"]
    for token, code in ((None, "authentication_required"), ("clk_" + "x" * 43, "invalid_token")):
        answer = call(api.with_token(token), made)
        check_problem(answer, 401, code=code)
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize(
    "headers",
    [
        *({"Authorization": value} for value in ("", "Bearer", "Bearer ", "Basic dTpw", "clk_x")),
        {"X-API-Key": ""},
    ],
)
def test_a_header_without_a_token_is_no_token(api: Api, headers: dict[str, str]) -> None:
    """401 `authentication_required` with a sentence that shows the header."""
    answer = api.with_token(None).get("", headers=headers)
    problem = check_problem(answer, 401, code="authentication_required")
    assert "Bearer TOKEN" in problem["detail"]


def test_a_token_may_come_as_x_api_key(api: Api) -> None:
    """`X-API-Key: TOKEN` is as good as the bearer header, whose scheme is in any case."""
    assert api.token is not None
    nobody = api.with_token(None)
    nobody.get("", headers={"X-API-Key": api.token}).ok()
    nobody.get("", headers={"authorization": f"bearer {api.token}"}).ok()
    check_problem(nobody.get("", headers={"X-API-Key": "wrong"}), 401, code="invalid_token")


def test_an_expired_token_is_told_so(server: ServerProcess, api: Api) -> None:
    """401 `token_expired`, before any scope is looked at."""
    _, expired = make_token(server, "agent", expires_in=timedelta(seconds=-1))
    check_problem(api.with_token(expired).get(), 401, code="token_expired")


def test_a_revoked_token_is_refused_soon(server: ServerProcess, api: Api) -> None:
    """401 `invalid_token`, although the server had just seen the token work."""
    token_id, secret = make_token(server, "read")
    client = api.with_token(secret)
    client.get().ok()
    client.get().ok()
    revoke_token(server, token_id)
    eventually(lambda: client.get().status == 401, "the end of a revoked token", 10)  # else in 30 s
    check_problem(client.get(), 401, code="invalid_token")


def test_an_agent_token_is_bound_to_its_agent(server: ServerProcess, api: Api) -> None:
    """It claims under its own id only, also in a create with `claim`: else 403 with the field."""
    mine, other = fresh("agent"), fresh("agent")
    agent = api.with_token(make_token(server, "agent", "operate", agent_id=mine)[1])
    assert agent.post("/claim", {"agent_id": mine}).status in {200, 204}
    assert mine in check_problem(agent.post("/claim", {"agent_id": other}), 403)["detail"]
    body: dict[str, Any] = {"job_name": "n", "command": "true"}
    agent.post("", body | {"claim": {"agent_id": mine}}).ok(201)
    refused = check_problem(agent.post("", body | {"claim": {"agent_id": other}}), 403)
    assert refused["error"]["details"][0]["field"] == "agent_id"


def test_an_agent_token_cannot_report_for_another_agent(server: ServerProcess, api: Api) -> None:
    """403 and no trace, although the lease token is the right one; its own agent may."""
    mine, other = fresh("agent"), fresh("agent")
    held = api.start(claim={"agent_id": mine})
    stranger = api.with_token(make_token(server, "agent", agent_id=other)[1])
    theirs = Held(stranger, {"execution": held.execution, "lease": held.lease})
    report: dict[str, Any] = {"outcome": "exited", "exit_code": 0, "output": "x"}
    for refused in (theirs.heartbeat(), theirs.append(b"x"), theirs.complete(**report)):
        check_problem(refused, 403)
    assert (api.one(held.id)["status"], api.logs(held.id)) == ("running", b"")
    own = api.with_token(make_token(server, "agent", agent_id=mine)[1])
    ours = Held(own, {"execution": held.execution, "lease": held.lease})
    ours.heartbeat().ok()
    ours.complete(**report).ok()


def test_a_create_with_claim_needs_both_scopes(api: Api, scoped: dict[str, Api]) -> None:
    """To run at once what one creates takes the scope of an operator and that of an agent."""
    body = {"job_name": fresh("n"), "command": "true", "claim": {"agent_id": "a"}}
    assert "agent" in check_problem(scoped["operate"].post("", body), 403)["detail"]
    assert "operate" in check_problem(scoped["agent"].post("", body), 403)["detail"]
    api.post("", body).ok(201)


def test_health_schema_and_docs_need_no_token(api: Api) -> None:
    """Whoever watches the server, or reads about it, needs no access."""
    nobody = api.with_token(None)
    for path in ("/health/live", "/health/ready", "/schema/openapi.json", "/docs", "/sign-in"):
        nobody.request("GET", path).ok()
    assert nobody.request("GET", "/health/ready").json()["status"] == "ok"


def test_the_audit_trail_says_what_happened_when_and_by_whom(
    api: Api, operator: Api, server: ServerProcess
) -> None:
    """Events in order, with position, version, type, times, actor, request id and data."""
    # given
    name = fresh("agent")
    agent = api.with_token(make_token(server, "agent", agent_id=name)[1])
    made = operator.create(pinned_agent_id=name)["id"]
    held = agent.claim(name)
    assert held is not None
    held.complete(outcome="exited", exit_code=2).ok()
    new = operator.post(f"/{made}/retry").ok(201).json()["id"]
    # when
    trail = api.events(made)
    # then
    assert all(
        set(event) >= {"position", "version", "type", "recorded_at", "actor", "request_id", "data"}
        for event in trail
    )
    assert [event["type"] for event in trail] == [
        *("execution.created", "execution.started", "execution.completed", "execution.retried"),
    ]
    assert [event["version"] for event in trail] == [1, 2, 3, 4]
    positions = [event["position"] for event in trail]
    assert positions == sorted(set(positions))
    moments = [event["recorded_at"] for event in trail]
    assert moments == sorted(moments)
    kinds = [event["actor"].partition(":")[0] for event in trail]
    assert kinds == ["operator", "agent", "agent", "operator"]
    assert len({event["request_id"] for event in trail}) == 4
    assert trail[1]["data"]["agent_id"] == name
    born = api.events(new)[0]
    assert (born["request_id"], trail[3]["position"] > born["position"]) == (
        trail[3]["request_id"],
        True,
    )
    assert PATH not in str(trail)
