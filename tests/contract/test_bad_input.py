"""Bad input is the caller's: a 4xx problem with a sentence that names the field, never a 5xx."""

import http.client
import json

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, urlsplit

import pytest

from tests.support.calls import PATH, Api, Held, Query, Reply, execution_id, fresh

MIB = 1024 * 1024
TITLES = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    409: "Conflict",
    413: {"Request Entity Too Large", "Content Too Large"},  # Python 3.13 knows the newer name
    415: "Unsupported Media Type",
    416: {"Requested Range Not Satisfiable", "Range Not Satisfiable"},
    422: {"Unprocessable Entity", "Unprocessable Content"},
}
CODES = {
    400: "validation_error",
    401: "authentication_required",
    403: "forbidden",
    404: "resource_not_found",
    405: "method_not_allowed",
    409: "conflict",
    413: "payload_too_large",
    415: "unsupported_media_type",
    416: "validation_error",
    422: "idempotency_mismatch",
}


def check_problem(
    answer: Reply, status: int, *, field: str | None = None, code: str | None = None
) -> dict[str, Any]:
    """The answer is a problem document as the contract describes it; return it."""
    assert answer.status == status, answer.body
    assert answer.headers["Content-Type"].partition(";")[0] == "application/problem+json"
    problem = answer.json()
    assert set(problem) - {"expected_offset"} == {"type", "title", "status", "detail", "error"}
    title = TITLES[status]
    assert problem["title"] == title or problem["title"] in title
    assert problem["status"] == status
    error = problem["error"]
    assert set(error) == {"code", "message", "details"}
    assert error["code"] == (code or CODES[status])
    assert error["message"] == problem["detail"]
    assert "Traceback" not in problem["detail"]
    if field is not None:
        assert field in problem["detail"]
        assert field in [detail["field"] for detail in error["details"]]
        assert all(detail["message"] for detail in error["details"])
    return dict(problem)


# ------------------------------------------------------------------------------------------- query

BAD_QUERIES: list[tuple[Query, str]] = [
    ({"status": "broken"}, "status"),
    ({"status": ""}, "status"),
    ({"status": "Failed"}, "status"),
    ({"status": ["failed", "broken"]}, "status"),
    ({"status": "failed,timeout"}, "status"),
    ({"triggered_by": "cron"}, "triggered_by"),
    *(
        ({name: value}, name)
        for name in ("limit", "offset")
        for value in ("abc", "5.0", "-1", "", " 5", "+5", "1e1", "0x5", "٥", "9" * 30, "5,0", "NaN")
    ),
    ({"limit": "0"}, "limit"),
    ({"limit": "101"}, "limit"),
    ({"offset": "1000000001"}, "offset"),
    ({"limit": ["5", "6"]}, "limit"),
    ({"offset": ["5", "5"]}, "offset"),
    ({"from": ["2024-01-01", "2024-01-01"]}, "from"),
    ({"cursor": ["a", "b"]}, "cursor"),
    ({"from": "2024-01-02", "to": "2024-01-01"}, "from"),
    *(
        ({name: value}, name)
        for name in ("from", "to")
        for value in ("yesterday", "", "2024-13-01", "2024-02-30", "1706745600", "2024", "T00:00")
    ),
    ({"to": "2024-01-01T25:00:00Z"}, "to"),
    ({"from": "2024-01-01T00:00:00+99:00"}, "from"),
    ({"to": "99999-01-01"}, "to"),
    ({"statuss": "failed"}, "statuss"),
    ({"Status": "failed"}, "Status"),
    ({"job_name": "x"}, "job_name"),
    ({"job_id": "a\0b"}, "job_id"),
    ({"page": "2", "status": "failed"}, "page"),
    ("job_id=%ff", "query"),
    ("&".join(["status=failed"] * 101), "query"),
]


@pytest.mark.parametrize(("query", "field"), BAD_QUERIES)
def test_a_list_query_that_is_wrong_is_refused_by_name(api: Api, query: Query, field: str) -> None:
    """An unknown value, a number that is none, a time that is none, a parameter nobody knows."""
    check_problem(api.get("", query), 400, field=field)


@pytest.mark.parametrize(
    "moments",
    [
        {"from": "0001-01-01T00:00:00+01:00"},
        {"to": "9999-12-31T23:59:59-01:00"},
        {"from": "0001-01-01", "to": "9999-12-31"},
        {"from": "1969-12-31", "to": "1969-12-31"},
    ],
)
def test_times_at_the_end_of_the_calendar_are_no_server_error(
    api: Api, moments: dict[str, str]
) -> None:
    """A time that no clock can hold is a 400 by name; one that can is an answer."""
    answer = api.get("", moments)
    if answer.status != 200:
        check_problem(answer, 400, field=next(iter(moments)))


@pytest.mark.parametrize(
    ("method", "path"),
    [
        *(("GET", f"/ID{rest}") for rest in ("", "/events", "/logs")),
        ("POST", ""),
        *(("POST", path) for path in ("/claim", "/ID/retry", "/ID/cancel", "/ID/heartbeat")),
        *(("POST", path) for path in ("/ID/complete", "/ID/logs")),
    ],
)
def test_every_operation_refuses_a_parameter_it_does_not_know(
    api: Api, method: str, path: str
) -> None:
    """A mistyped parameter is never ignored, also where there are none."""
    made = api.create()["id"]
    options: dict[str, Any] = {"payload": {}} if method == "POST" else {}
    answer = api.request(method, PATH + path.replace("ID", made), {"verbose": 1}, **options)
    check_problem(answer, 400, field="verbose")


# -------------------------------------------------------------------------------------------- body

JOB: dict[str, Any] = {"job_name": "n", "command": "true"}
NO_TEXT = (5, None, True, ["x"], {"a": 1})
BAD_JOBS: list[tuple[Any, str]] = [
    ({"command": "true"}, "job_name"),
    ({"job_name": "n"}, "command"),
    ([], "body"),
    ("text", "body"),
    (None, "body"),
    *((JOB | {"job_name": value}, "job_name") for value in (*NO_TEXT, "", "x" * 201)),
    *((JOB | {"job_name": f"a{letter}b"}, "job_name") for letter in "\0\n\x1b\x7f"),
    *((JOB | {"command": value}, "command") for value in (5, None, {}, "", "  ", [], [""], [1])),
    (JOB | {"command": "echo\0"}, "command"),
    (JOB | {"command": ["echo", "\0"]}, "command"),
    (JOB | {"command": "x" * 100_001}, "command"),
    *((JOB | {"job_id": value}, "job_id") for value in (5, None, "", " a", "a b", "a\0", "x" * 129)),
    *((JOB | {"timeout_seconds": value}, "timeout_seconds") for value in (0, -1, 3601, 1.5, "5")),
    (JOB | {"timeout_seconds": True}, "timeout_seconds"),
    (JOB | {"timeout_seconds": 10**30}, "timeout_seconds"),
    (JOB | {"timeout_seconds": None}, "timeout_seconds"),
    *((JOB | {"triggered_by": value}, "triggered_by") for value in ("retry", "cron", None, 1)),
    *((JOB | {"scheduled_for": value}, "scheduled_for") for value in ("soon", "", 17, "2024-02-30")),
    *((JOB | {"pinned_agent_id": value}, "pinned_agent_id") for value in ("", "a/b", "\0", 7)),
    *((JOB | {"working_dir": value}, "working_dir") for value in ("", "\0", 5, "x" * 4097)),
    *((JOB | {"environment": value}, "environment") for value in ([], "A=1", {"A=B": "1"}, {"": ""})),
    (JOB | {"environment": {"A": 1}}, "environment"),
    (JOB | {"environment": {"1A": "x"}}, "environment"),
    (JOB | {"environment": {"A": "a\0"}}, "environment.A"),
    (JOB | {"secrets": ["A"]}, "secrets"),
    (JOB | {"secrets": "A", "environment": {"A": "123456"}}, "secrets"),
    (JOB | {"secrets": ["A"], "environment": {"A": ""}}, "secrets"),
    *((JOB | {"claim": value}, "claim") for value in ("agent", [], 1)),
    (JOB | {"claim": {}}, "claim.agent_id"),
    (JOB | {"claim": {"agent_id": "a b"}}, "claim.agent_id"),
    (JOB | {"claim": {"agent_id": "a", "lease": 1}}, "claim.lease"),
    *((JOB | {"id": value}, "id") for value in ("", "x", "exec_", None, 5)),
    (JOB | {"id": "exec_00000000000000000000000000"}, "id"),
    (JOB | {"id": execution_id(datetime.now(UTC) + timedelta(hours=1))}, "id"),
    (JOB | {"jobname": "n"}, "jobname"),
    (JOB | {"status": "success"}, "status"),
]


@pytest.mark.parametrize(("body", "field"), BAD_JOBS)
def test_a_create_that_is_wrong_is_refused_by_name(api: Api, body: Any, field: str) -> None:
    """A missing, unknown or ill-typed field, a NUL, a number out of range: 400, nothing created."""
    before = api.get("", {"limit": 1}).json()["data"]
    problem = check_problem(api.post("", body), 400)
    fields = [detail["field"] for detail in problem["error"]["details"]]
    assert [name for name in fields if name == field or name.startswith((field + ".", field + "["))]
    assert fields[0] in problem["detail"]
    assert api.get("", {"limit": 1}).json()["data"] == before


@pytest.mark.parametrize(
    "body",
    [
        *(b"{", b"[1,", b"nul", b'{"job_name": "n", "command": "true"', b"'a'", b"\xff\xfe", b"{}}"),
        *(b'{"job_name": "\xff", "command": "true"}', b"[" * 50_000, b'{"a":' * 50_000, b"\0"),
        *(b'{"job_name": "\\ud800", "command": "true"}', b'{"job_name": NaN}', b"   "),
    ],
)
def test_a_body_that_is_no_json_is_refused(api: Api, body: bytes) -> None:
    """Cut, not UTF-8, nested without end, half a surrogate: 400 with a sentence."""
    headers = {"Content-Type": "application/json"}
    check_problem(api.post("", body=body, headers=headers), 400)


@pytest.mark.parametrize("path", ["", "/claim", "/ID/complete", "/ID/heartbeat", "/ID/retry"])
@pytest.mark.parametrize(
    "media_type",
    [None, "text/plain", "application/x-www-form-urlencoded", "application/jsonp", "json"],
)
def test_a_body_that_is_not_declared_as_json_is_refused(
    api: Api, path: str, media_type: str | None
) -> None:
    """415, so that no browser form can post; a charset beside application/json is fine."""
    path = path.replace("ID", api.create()["id"])
    headers = {} if media_type is None else {"Content-Type": media_type}
    check_problem(api.post(path, body=b'{"a": 1}', headers=headers), 415)
    fine = {"Content-Type": "Application/JSON; charset=utf-8"}
    check_problem(api.post(path, body=b'{"a": 1}', headers=fine), 400)


@pytest.mark.parametrize("path", ["", "/claim", "/ID/complete", "/ID/cancel", "/ID/logs"])
def test_a_body_over_the_limit_is_refused(api: Api, path: str) -> None:
    """413, whether the length is announced or the bytes just keep coming."""
    path = PATH + path.replace("ID", api.create()["id"])
    if path.endswith("logs"):
        path += "?stream=stdout&offset=0"
    headers = {"Content-Type": "application/json", "Lease-Token": "x"}
    large = b'"' + b"x" * (9 * MIB) + b'"'
    for chunked in (False, True):
        answer = sent_whole(api, path, large, headers, chunked=chunked)
        check_problem(answer, 409 if answer.status == 409 else 413, code=answer.code)


def sent_whole(api: Api, path: str, body: bytes, headers: dict[str, str], *, chunked: bool) -> Reply:
    """The answer to a large body; a server may answer before it has read all of it."""
    parts = urlsplit(api.url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=20)
    try:
        content: Any = iter([body[:MIB]] * (len(body) // MIB + 1)) if chunked else body
        sent = headers | {"Authorization": f"Bearer {api.token}"}
        try:
            connection.request("POST", path, body=content, headers=sent, encode_chunked=chunked)
        except ConnectionError:
            assert connection.sock is not None
        answer = connection.getresponse()
        return Reply(answer.status, answer.headers, answer.read())
    finally:
        connection.close()


# ------------------------------------------------------------------------------------------- paths


@pytest.mark.parametrize(
    "made_up",
    [
        *("exec_01k00000000000000000000000", "x", "1", "exec_", "claim", "EXEC_01", "%00", "a%00b"),
        *("%FF%FE", "..%2f..%2fetc", "exec_0000000000000000000000000i", "null", "%20", "x" * 3000),
        *("exec_81k0000000000000000000000k", "tok_01k0000000000000000000000k", "%F0%9F%92%A9"),
    ],
)
@pytest.mark.parametrize(
    ("method", "rest"),
    [
        *(("GET", rest) for rest in ("", "/events", "/logs")),
        *(("POST", rest) for rest in ("/retry", "/cancel")),
    ],
)
def test_an_id_that_is_not_there_or_is_none_is_404(
    api: Api, made_up: str, method: str, rest: str
) -> None:
    """Ids are opaque: unknown and malformed ones are alike."""
    answer = api.request(method, f"{PATH}/{made_up}{rest}")
    check_problem(answer, 404)


def test_the_id_of_an_execution_is_exactly_its_id(api: Api) -> None:
    """In capitals, with a blank or a slash behind it, it is another one's."""
    made = api.create()["id"]
    for other in (made.upper(), made + "%20", made[:-1], made + "0"):
        check_problem(api.get(f"/{other}"), 404)


def test_paths_and_methods_that_are_none_are_problems_too(api: Api) -> None:
    """404 and 405 have the same shape as every other error; 405 says what is allowed."""
    check_problem(api.request("GET", "/v1/nothing"), 404)
    check_problem(api.request("GET", "/v2/cron-executions"), 404)
    answer = api.request("DELETE", PATH)
    check_problem(answer, 405)
    assert {"GET", "POST"} <= set(answer.headers["Allow"].replace(",", " ").split())
    for path in (PATH, f"{PATH}/x/logs"):
        allowed = api.request("OPTIONS", path).headers["Allow"]
        assert set(allowed.split(", ")) == {"GET", "POST", "OPTIONS"}


def test_a_request_line_that_is_no_http_harms_nobody(api: Api) -> None:
    """Garbage on the socket is refused, and the next request is answered."""
    parts = urlsplit(api.url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=20)
    connection.connect()
    assert connection.sock is not None
    connection.sock.sendall(b"\0\xff garbage\r\n\r\n")
    assert b" 400 " in connection.sock.recv(4096)
    connection.close()
    api.get().ok()


# ------------------------------------------------------------------------------------- idempotency


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


# ------------------------------------------------------------------------------------------ claims

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
    payload = {} if "logs" in rest else {"payload": {"outcome": "exited", "exit_code": 0}}
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
    ({"outcome": "exited", "exit_code": 0, "failure_reason": "agent_lost"}, "failure_reason"),
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
    streamed = api.start()
    streamed.append(b"streamed before").ok()
    check_problem(streamed.complete(**report), 400, field="output")


# ------------------------------------------------------------------------------------------ cancel


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


# -------------------------------------------------------------------------------------------- logs

BAD_CHUNKS: list[tuple[Query, str]] = [
    ({"offset": 0}, "stream"),
    ({"stream": "stdin", "offset": 0}, "stream"),
    ({"stream": "stdout"}, "offset"),
    *(({"stream": "stdout", "offset": value}, "offset") for value in ("-1", "x", "1.0", 1 << 60)),
    ({"stream": "stdout", "offset": 0, "skip_to": "x"}, "skip_to"),
    ({"stream": "stdout", "offset": 0, "skip_to": -1}, "skip_to"),
    ({"stream": ["stdout", "stderr"], "offset": 0}, "stream"),
    ({"stream": "stdout", "offset": 0, "length": 5}, "length"),
]


@pytest.mark.parametrize(("query", "field"), BAD_CHUNKS)
def test_a_chunk_that_is_wrong_is_refused_by_name(api: Api, query: Query, field: str) -> None:
    """400, and no byte is kept."""
    held = api.start()
    answer = api.post(f"/{held.id}/logs", query=query, body=b"x", headers=held.headers)
    check_problem(answer, 400, field=field)
    assert api.logs(held.id) == b""


def test_a_chunk_that_is_repeated_is_accepted_once(api: Api) -> None:
    """Whole or in part, also after the end of the execution: 200 with the true next offset."""
    held = api.start()
    for data, offset, expected in (
        *((b"abcdef", 0, 6), (b"abcdef", 0, 6), (b"cdefgh", 2, 8), (b"", 8, 8), (b"ab", 0, 8)),
    ):
        assert held.append(data, offset).ok().json()["next_offset"] == expected
    assert api.logs(held.id) == b"abcdefgh"


def test_a_gap_is_refused_with_the_expected_offset(api: Api) -> None:
    """409 with the member `expected_offset`; the streams stand apart."""
    held = api.start()
    held.append(b"abc").ok()
    assert check_problem(held.append(b"x", 4), 409)["expected_offset"] == 3
    assert check_problem(held.append(b"x", 1, "stderr"), 409)["expected_offset"] == 0
    assert check_problem(held.append(b"x", 2, skip_to=9), 409)["expected_offset"] == 3
    assert check_problem(held.append(b"x", 3, skip_to=3), 409)["expected_offset"] == 3
    problem = check_problem(held.complete(outcome="exited", exit_code=0, stdout_bytes=5), 409)
    assert problem["expected_offset"] == 3
    assert api.one(held.id)["status"] == "running"


def test_bytes_that_were_left_out_are_marked(api: Api) -> None:
    """`skip_to` is used once a stream: the JSON marks the cut, the raw bytes name it in a header."""
    held = api.start()
    held.append(b"head").ok()
    for _ in range(2):
        assert held.append(b"tail", 4, skip_to=1000).ok().json()["next_offset"] == 1004
    held.append(b" end", 1004).ok()
    report = {"outcome": "exited", "exit_code": 0, "stdout_bytes": 1008}
    assert held.complete(**report).ok().json()["output_truncated"]
    raw = api.get(f"/{held.id}/logs").ok()
    assert (raw.body, raw.headers["Output-Omitted"]) == (b"headtail end", "4-1000")
    whole = api.one(held.id)
    assert whole["output"].startswith("head\n")
    assert whole["output"].endswith("\ntail end")
    assert "996 bytes" in whole["output"]
    assert (whole["output_truncated"], whole["output_bytes"]) == (True, 1008)


def test_at_most_10_mib_are_kept_of_a_stream(api: Api) -> None:
    """A chunk over 1 MiB and one over the cap are a 413; the cap itself fits."""
    held = api.start()
    check_problem(held.append(b"x" * (MIB + 1)), 413)
    for number in range(10):
        held.append(b"x" * MIB, number * MIB).ok()
    check_problem(held.append(b"x", 10 * MIB), 413)
    held.append(b"", 10 * MIB).ok()
    held.append(b"x", 0, "stderr").ok()
    held.complete(outcome="exited", exit_code=0, stdout_bytes=10 * MIB).ok()
    assert len(api.logs(held.id)) == 10 * MIB


def test_no_byte_of_a_log_is_lost_or_changed(api: Api) -> None:
    """Every byte value, NUL and invalid UTF-8 in logs as written; in JSON as text."""
    held = api.start()
    data = bytes(range(256)) * 3 + b"\xff\xfe\0\0\xc3(\r\n\x1b[2J"
    held.append(data[:300]).ok()
    held.append(data[300:], 300).ok()
    held.append(b"\0\xff", stream="stderr").ok()
    held.complete(outcome="exited", exit_code=1).ok()
    assert (api.logs(held.id), api.logs(held.id, "stderr")) == (data, b"\0\xff")
    whole = api.one(held.id)
    assert whole["output"] == data.decode(errors="replace")
    assert whole["error"] == "\0\ufffd"


@pytest.fixture(scope="module")
def logged(api: Api) -> Held:
    """An ended execution that has written ten lines, `0 \\n` … `9 \\n`."""
    held = api.start()
    held.append(b"".join(b"%d \n" % number for number in range(10))).ok()
    held.complete(outcome="exited", exit_code=0).ok()
    return held


@pytest.mark.parametrize(
    ("header", "first", "last"),
    [
        *(("bytes=0-2", 0, 2), ("bytes=27-", 27, 29), ("bytes=-3", 27, 29), ("bytes=0-", 0, 29)),
        *(("bytes=29-29", 29, 29), ("bytes=5-999999", 5, 29), ("bytes=-999", 0, 29)),
    ],
)
def test_a_range_of_a_log_can_be_read(
    api: Api, logged: Held, header: str, first: int, last: int
) -> None:
    """206 with Content-Range, as RFC 9110 has it."""
    whole = api.logs(logged.id)
    answer = api.get(f"/{logged.id}/logs", headers={"Range": header}).ok(206)
    assert answer.body == whole[first : last + 1]
    assert answer.headers["Content-Range"] == f"bytes {first}-{last}/30"
    assert api.get(f"/{logged.id}/logs").headers["Accept-Ranges"] == "bytes"


def test_a_range_that_is_not_there_is_416_and_one_that_is_none_400(api: Api, logged: Held) -> None:
    """Beyond the end: 416 with the size. Not a range of bytes: 400 that names the header."""
    for beyond in ("bytes=30-", "bytes=99-100", "bytes=-0"):
        answer = api.get(f"/{logged.id}/logs", headers={"Range": beyond})
        check_problem(answer, 416)
        assert answer.headers["Content-Range"] == "bytes */30"
    for none in ("bytes=-", "lines=0-1", "bytes=a-b", "bytes=0-1,4-5", "bytes=2-1x"):
        check_problem(api.get(f"/{logged.id}/logs", headers={"Range": none}), 400, field="Range")
    empty = api.get(f"/{api.create()['id']}/logs", headers={"Range": "bytes=0-"})
    check_problem(empty, 416)


@pytest.mark.parametrize(
    ("tail", "expected"), [(0, b""), (1, b"9 \n"), (3, b"7 \n8 \n9 \n"), (10, None), (99, None)]
)
def test_the_last_lines_of_a_log_can_be_read(
    api: Api, logged: Held, tail: int, expected: bytes | None
) -> None:
    """`tail` counts lines from the end."""
    answer = api.get(f"/{logged.id}/logs", {"tail": tail}).ok()
    assert answer.body == (api.logs(logged.id) if expected is None else expected)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        *(({"stream": value}, "stream") for value in ("stdin", "", "STDOUT")),
        *(({"tail": value}, "tail") for value in ("-1", "x", "1.5", "1000001", "")),
        ({"follow": "maybe"}, "follow"),
    ],
)
def test_reading_a_log_wrongly_is_refused_by_name(
    api: Api, logged: Held, query: Query, field: str
) -> None:
    """400 with the field."""
    check_problem(api.get(f"/{logged.id}/logs", query), 400, field=field)


def test_ids_in_links_survive_quoting(api: Api) -> None:
    """Percent-encoded, an id is the same id."""
    made = api.create()["id"]
    assert api.get("/" + quote(made).replace("exec", "%65xec")).ok().json()["id"] == made


