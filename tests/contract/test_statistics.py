"""Statistics over HTTP: what ended, how often it went well, and how long it took."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.support.calls import Api, execution_id, fresh

NOON = datetime(2024, 2, 29, 12, 30, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture(scope="module")
def job(api: Api) -> str:
    """A job that ran at 12:30, 12:31 and 13:30 of a day, and the day after; one still runs."""
    made = fresh("counted")
    ends = (
        (NOON, "exited", 0, 100),
        (NOON + timedelta(minutes=1), "exited", 3, 1000),
        (NOON + HOUR, "timed_out", None, 4000),
        (NOON + 24 * HOUR, "exited", 0, 3),
    )
    for moment, outcome, code, took in ends:
        held = api.start(job_id=made, id=execution_id(moment))
        held.complete(outcome=outcome, exit_code=code, duration_ms=took).ok()
    api.start(job_id=made, id=execution_id(NOON))
    canceled = api.create(job_id=made, id=execution_id(NOON + timedelta(minutes=2)))
    api.cancel(canceled["id"]).ok()
    return made


def stats(api: Api, **query: Any) -> dict[str, Any]:
    """The answer; moments are sent as text."""
    sent = {
        name.rstrip("_"): value.isoformat() if isinstance(value, datetime) else value
        for name, value in query.items()
    }
    return dict(api.get("/stats", sent).ok().json())


def test_all_that_a_job_did_is_summed_up(api: Api, job: str) -> None:
    """Counts by final status, the rate of success, durations within 12.5 %, and the last ends."""
    answer = stats(api, job_id=job)
    assert (answer["interval"], answer["group_by"]) == ("all", "all")
    (one,) = answer["data"]
    assert (one["job_id"], one["starts_at"], one["ended"]) == (None, None, 5)
    assert one["by_status"] == {"success": 2, "failed": 1, "timeout": 1, "canceled": 1}
    assert one["success_rate"] == 0.5
    took = one["duration_ms"]
    assert abs(took["p50"] - 100) <= 12.5
    assert abs(took["p95"] - 4000) <= 500
    assert took["max"] == 4000
    ends = [
        max(found["completed_at"] for found in ended)
        for ended in (
            api.all_pages({"job_id": job, "status": "success"}),
            api.all_pages({"job_id": job, "status": ["failed", "timeout"]}),
        )
    ]
    assert [one["last_success_at"], one["last_failure_at"]] == ends


@pytest.mark.parametrize(
    ("interval", "expected"),
    [
        ("hour", {NOON: 3, NOON + HOUR: 1, NOON + 24 * HOUR: 1}),
        ("day", {NOON: 4, NOON + 24 * HOUR: 1}),
    ],
)
def test_intervals_are_those_of_the_creation(
    api: Api, job: str, interval: str, expected: dict[datetime, int]
) -> None:
    """Hours and days begin in UTC; an execution counts in the one in which it was created."""
    cut = {"hour": 13, "day": 10}[interval]
    answer = stats(api, job_id=job, interval=interval, from_=NOON, to=NOON + 25 * HOUR)
    found = {one["starts_at"][:cut]: one["ended"] for one in answer["data"]}
    assert found == {at.isoformat()[:cut]: ended for at, ended in expected.items()}
    assert answer["starts_at"] <= NOON.isoformat() < answer["data"][0]["ends_at"]


def test_jobs_are_told_apart_if_asked(api: Api, job: str) -> None:
    """Grouped by job each has its own summary, by name or of all that there are."""
    other = fresh("counted")
    held = api.start(job_id=other, id=execution_id(NOON))
    held.complete(outcome="exited", exit_code=0).ok()
    named = stats(api, job_id=[job, other], group_by="job")
    assert {one["job_id"]: one["ended"] for one in named["data"]} == {job: 5, other: 1}
    together = stats(api, job_id=[job, other])
    assert [one["ended"] for one in together["data"]] == [6]
    everything = stats(api, group_by="job", interval="day", from_=NOON, to=NOON + HOUR)
    assert {one["job_id"]: one["ended"] for one in everything["data"]}.items() >= {
        (job, 4),
        (other, 1),
    }
    whole = stats(api, interval="day", from_=NOON, to=NOON + HOUR)
    assert [one["ended"] for one in whole["data"]] == [
        sum(one["ended"] for one in everything["data"])
    ]


def test_nothing_ended_is_an_empty_answer(api: Api) -> None:
    """A job that nobody knows has no summaries, in no interval."""
    assert stats(api, job_id="nobody's")["data"] == []
    assert stats(api, job_id="nobody's", interval="hour")["data"] == []


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"interval": "week"}, "interval"),
        ({"interval": "all", "from": "2024-01-01"}, "interval"),
        ({"group_by": "status"}, "group_by"),
        ({"from": "2024-01-02", "to": "2024-01-01"}, "from"),
        ({"interval": "hour", "from": "2023-01-01", "to": "2024-01-01"}, "interval"),
        ({"interval": "day", "from": "0001-01-01", "to": "9999-12-31"}, "interval"),
        ({"from": "9999-12-31T23:59:59Z"}, "from"),
        ({"limit": "5"}, "limit"),
        ({"job_id": ""}, "job_id"),
    ],
    ids=str,
)
def test_a_mistaken_request_is_refused(api: Api, query: dict[str, str], field: str) -> None:
    """400 with a sentence that names the field, also for more than can be shown."""
    refused = api.get("/stats", query).ok(400).json()
    assert refused["error"]["details"][0]["field"] == field
