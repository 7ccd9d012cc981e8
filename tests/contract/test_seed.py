"""The published Cron Executions API, word for word, on a real server over a real socket."""

import base64
import re
import uuid
from datetime import datetime
from typing import Any, Literal

import msgspec
import pytest
from msgspec import Struct

from tests.support.calls import REPORTS, STATUSES, Api, fresh

FIELDS_OF_THE_JOB = (
    *("job_id", "job_name", "command", "timeout_seconds", "working_dir", "pinned_agent_id"),
    "root_id",
)


class SeedExecution(Struct):
    """The execution object as published, with `started_at` null while pending (our widening)."""

    id: str
    job_id: str
    job_name: str
    status: Literal["pending", "running", "success", "failed", "timeout", "canceled"]
    exit_code: int | float | None
    duration_ms: int | float
    triggered_by: Literal["scheduled", "manual", "retry"]
    output: str
    error: str | None
    started_at: str | None
    completed_at: str | None


class SeedPage(Struct):
    """The list: our envelope around the published object."""

    data: list[SeedExecution]


def check_the_meaning(seen: SeedExecution) -> None:
    """What the published descriptions of fields and statuses say."""
    has_started = seen.status not in {"pending", "canceled"}
    is_final = seen.status in {"success", "failed", "timeout", "canceled"}
    assert (seen.started_at is not None) == has_started
    assert (seen.completed_at is not None) == is_final
    assert seen.duration_ms >= 0
    assert (seen.exit_code == 0) == (seen.status == "success")
    assert (seen.error is not None) == (seen.status in {"failed", "timeout"})
    for moment in (seen.started_at, seen.completed_at):
        if moment is not None:
            assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", moment)
            assert datetime.fromisoformat(moment).utcoffset() is not None


@pytest.mark.parametrize("status", STATUSES)
def test_every_status_decodes_by_the_published_table(api: Api, status: str) -> None:
    """Get and list answer each status with the published fields in the published types."""
    # given
    made = api.brought_to(status)
    # when
    got = msgspec.json.decode(api.get(f"/{made['id']}").ok().body, type=SeedExecution)
    page = msgspec.json.decode(
        api.get("", {"job_id": made["job_id"]}).ok().body, type=SeedPage, strict=True
    )
    # then
    assert got.status == status
    check_the_meaning(got)
    assert [listed.id for listed in page.data] == [made["id"]]
    assert page.data[0].status == status
    check_the_meaning(page.data[0])


def test_a_running_execution_says_how_long_it_has_run(api: Api) -> None:
    """`duration_ms` is a number while running too, and never falls."""
    held = api.start()
    first = api.one(held.id)["duration_ms"]
    assert isinstance(first, int)
    assert api.until(held.id, lambda seen: seen["duration_ms"] > first)["completed_at"] is None


def test_an_unnamed_job_gets_the_same_job_id_each_time(api: Api) -> None:
    """`job_id` is derived from `job_name` alone: `job_` and base32 of a UUIDv5."""
    name = fresh("nightly")
    first, second = api.create(job_name=name), api.create(job_name=name, command="false")
    assert first["job_id"] == second["job_id"]
    assert api.create(job_name=name + "!")["job_id"] != first["job_id"]
    spelled = base64.b32decode(first["job_id"].removeprefix("job_").upper() + "======")
    assert uuid.UUID(bytes=spelled).version == 5
    assert api.create(job_name=name, job_id="mine")["job_id"] == "mine"


# ------------------------------------------------------------------------------------------ output


def test_a_list_shows_the_beginning_of_output_and_the_end_of_error(api: Api) -> None:
    """1,000 first characters of output and 1,000 last of error in a list; everything in get."""
    # given
    held = api.start()
    out, err = "ä" + "o" * 1499 + "\n", "e" * 1500 + "ß: the end\n"
    held.append(out.encode()).ok()
    held.append(err.encode(), stream="stderr").ok()
    held.complete(outcome="exited", exit_code=3).ok()
    # when
    listed = api.get("", {"job_id": held.execution["job_id"]}).ok().json()["data"][0]
    whole = api.one(held.id)
    # then
    assert (listed["output"], listed["error"]) == (out[:1000], err[-1000:])
    assert (listed["output_truncated"], listed["output_bytes"]) == (True, len(out.encode()))
    assert (whole["output"], whole["error"], whole["stderr"]) == (out, err, err)
    assert (whole["output_truncated"], whole["output_bytes"]) == (False, len(out.encode()))


@pytest.mark.parametrize("size", [0, 1, 999, 1000])
def test_a_list_shows_short_output_whole(api: Api, size: int) -> None:
    """Output of at most 1,000 characters is not marked as truncated, whatever its bytes."""
    held = api.start()
    held.append(("é" * size).encode()).ok()
    held.complete(outcome="exited", exit_code=0).ok()
    listed = api.get("", {"job_id": held.execution["job_id"]}).ok().json()["data"][0]
    assert (listed["output"], listed["output_truncated"]) == ("é" * size, False)


@pytest.mark.parametrize(
    ("status", "stderr", "report", "error"),
    [
        ("success", b"warning\n", {}, None),
        ("failed", b"no space left\n", {}, "no space left\n"),
        ("failed", b"", {"error": "a sentence of the agent"}, "a sentence of the agent"),
        ("failed", b"", {}, "exited with code 3"),
        ("timeout", b"", {}, "timed out after 300 s"),
        ("timeout", b"still trying\n", {}, "still trying\n"),
    ],
)
def test_error_is_stderr_or_else_a_sentence(
    api: Api, status: str, stderr: bytes, report: dict[str, Any], error: str | None
) -> None:
    """`error` is null on success, else stderr if there is any, else one sentence."""
    held = api.start(timeout_seconds=300)
    held.append(stderr, stream="stderr").ok()
    held.complete(**REPORTS[status], **report).ok()
    found = api.one(held.id)
    assert (found["status"], found["error"], found["stderr"]) == (status, error, stderr.decode())


# ------------------------------------------------------------------------------------------- retry


@pytest.mark.parametrize("status", ["failed", "timeout"])
def test_a_retry_creates_a_new_execution_of_the_same_job(api: Api, status: str) -> None:
    """201, Location, `triggered_by: retry`, lineage, the same configuration; both sides linked."""
    # given
    job = {"environment": {"A": "1", "B_SECRET": "geheim-123"}, "secrets": ["B_SECRET"]}
    old = api.brought_to(status, working_dir="/", timeout_seconds=77, **job)
    # when
    answer = api.post(f"/{old['id']}/retry").ok(201)
    # then
    new = answer.json()
    assert msgspec.convert(new, SeedExecution, strict=True).triggered_by == "retry"
    assert answer.headers["Location"] == f"/v1/cron-executions/{new['id']}"
    whole = api.one(new["id"])
    assert whole["id"] != old["id"]
    assert (whole["status"], whole["attempt"], whole["retry_of"]) == ("pending", 2, old["id"])
    assert {name: whole[name] for name in FIELDS_OF_THE_JOB} == {
        name: old[name] for name in FIELDS_OF_THE_JOB
    }
    assert api.one(old["id"])["retried_as"] == new["id"]
    first_events = [api.events(one)[0]["data"]["configuration"] for one in (old["id"], new["id"])]
    assert first_events[0] == first_events[1]
    again = api.claim(old["agent_id"])
    assert again is not None
    assert again.id == new["id"]
    assert again.execution["environment"] == job["environment"]


def test_each_retry_is_recorded_and_the_lineage_goes_on(api: Api) -> None:
    """A failed execution may be retried again; a retry of a retry is attempt 3 of the same root."""
    first = api.brought_to("failed")
    second, other = (api.post(f"/{first['id']}/retry").ok(201).json() for _ in range(2))
    assert second["id"] != other["id"]
    assert (second["attempt"], other["attempt"]) == (2, 2)
    assert api.one(first["id"])["retried_as"] == other["id"]
    assert api.types(first["id"]).count("retried") == 2
    held = api.claim(first["agent_id"])
    assert held is not None
    held.complete(outcome="exited", exit_code=1).ok()
    third = api.post(f"/{held.id}/retry").ok(201).json()
    assert (third["attempt"], third["root_id"], third["retry_of"]) == (3, first["id"], held.id)


@pytest.mark.parametrize("status", ["pending", "running", "success", "canceled"])
def test_only_failed_executions_can_be_retried(api: Api, status: str) -> None:
    """409 names the current status and the allowed ones, and nothing was created."""
    made = api.brought_to(status)
    answer = api.post(f"/{made['id']}/retry").ok(409)
    problem = answer.json()
    assert (problem["title"], answer.code) == ("Conflict", "conflict")
    for word in (status, "failed", "timeout"):
        assert word in problem["detail"]
    assert api.one(made["id"])["retried_as"] is None
    assert len(api.all_pages({"job_id": made["job_id"]})) == 1


def test_the_published_errors_have_their_published_names(api: Api) -> None:
    """400 Bad Request, 401 Unauthorized, 404 Not Found, 409 Conflict."""
    pending = api.create()["id"]
    answers = [
        api.get("", {"status": "broken"}),
        api.with_token(None).get(),
        api.get("/exec_01k00000000000000000000000"),
        api.post(f"/{pending}/retry"),
    ]
    assert [(answer.status, answer.json()["title"]) for answer in answers] == [
        (400, "Bad Request"),
        (401, "Unauthorized"),
        (404, "Not Found"),
        (409, "Conflict"),
    ]
