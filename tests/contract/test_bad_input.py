"""Bad input is the caller's: a 4xx problem with a sentence that names the field, never a 5xx."""

import http.client
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.support.calls import PATH, Api, Query, Reply, execution_id
from tests.support.problems import check_problem

MIB = 1024 * 1024

# -------------------------------------------------------------------------------------------- query

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
        for value in (
            "abc",
            "5.0",
            "-1",
            "",
            " 5",
            "+5",
            "1e1",
            "0x5",
            "\N{ARABIC-INDIC DIGIT FIVE}",
            "9" * 30,
            "5,0",
            "NaN",
        )
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
    ({"job_id": ""}, "job_id"),
    ({"job_id": ["", "a"]}, "job_id"),
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


# --------------------------------------------------------------------------------------------- body

JOB: dict[str, Any] = {"job_name": "n", "command": "true"}
NO_TEXT: tuple[Any, ...] = (5, None, True, ["x"], {"a": 1})
NO_COMMAND: tuple[Any, ...] = (5, None, {}, "", "  ", [], [""], [1])
NO_VARIABLES: tuple[Any, ...] = ([], "A=1", {"A=B": "1"}, {"": ""})
NO_CLAIM: tuple[Any, ...] = ("agent", [], 1)
BAD_JOBS: list[tuple[Any, str]] = [
    ({"command": "true"}, "job_name"),
    ({"job_name": "n"}, "command"),
    ([], "body"),
    ("text", "body"),
    (None, "body"),
    *((JOB | {"job_name": value}, "job_name") for value in (*NO_TEXT, "", "  ", "x" * 201)),
    *((JOB | {"job_name": f"a{letter}b"}, "job_name") for letter in "\0\n\x1b\x7f"),
    *((JOB | {"command": value}, "command") for value in NO_COMMAND),
    (JOB | {"command": "echo\0"}, "command"),
    (JOB | {"command": ["echo", "\0"]}, "command"),
    (JOB | {"command": "x" * 100_001}, "command"),
    *(
        (JOB | {"job_id": value}, "job_id")
        for value in (5, None, "", " a", "a b", "a\0", "x" * 129)
    ),
    *((JOB | {"timeout_seconds": value}, "timeout_seconds") for value in (0, -1, 3601, 1.5, "5")),
    (JOB | {"timeout_seconds": True}, "timeout_seconds"),
    (JOB | {"timeout_seconds": 10**30}, "timeout_seconds"),
    (JOB | {"timeout_seconds": None}, "timeout_seconds"),
    *((JOB | {"triggered_by": value}, "triggered_by") for value in ("retry", "cron", None, 1)),
    *(
        (JOB | {"scheduled_for": value}, "scheduled_for")
        for value in ("soon", "", 17, "2024-02-30")
    ),
    *((JOB | {"pinned_agent_id": value}, "pinned_agent_id") for value in ("", "a/b", "\0", 7)),
    *((JOB | {"working_dir": value}, "working_dir") for value in ("", "\0", 5, "x" * 4097)),
    *((JOB | {"environment": value}, "environment") for value in NO_VARIABLES),
    (JOB | {"environment": {"A": 1}}, "environment"),
    (JOB | {"environment": {"1A": "x"}}, "environment"),
    (JOB | {"environment": {"A": "a\0"}}, "environment.A"),
    (JOB | {"secrets": ["A"]}, "secrets"),
    (JOB | {"secrets": "A", "environment": {"A": "123456"}}, "secrets"),
    (JOB | {"secrets": ["A"], "environment": {"A": "open-1"}, "command": "x open-1"}, "secrets"),
    *((JOB | {"claim": value}, "claim") for value in NO_CLAIM),
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
        *(
            b"{",
            b"[1,",
            b"nul",
            b'{"job_name": "n", "command": "true"',
            b"'a'",
            b"\xff\xfe",
            b"{}}",
        ),
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


def sent_whole(
    api: Api, path: str, body: bytes, headers: dict[str, str], *, chunked: bool
) -> Reply:
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


# -------------------------------------------------------------------------------------------- paths


@pytest.mark.parametrize(
    "made_up",
    [
        *("exec_01k00000000000000000000000", "x", "1", "exec_", "EXEC_01", "%00", "a%00b"),
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
        assert set(allowed.split(", ")) == {"GET", "HEAD", "POST", "OPTIONS"}


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
