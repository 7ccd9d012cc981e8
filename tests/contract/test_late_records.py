"""Runs that are told of late: they stand where and when they happened."""

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from tests.support.calls import Api, Held, execution_id, fresh
from tests.support.problems import check_problem
from tests.support.server import ServerProcess
from tests.support.tokens import owner_conninfo

DAYS = timedelta(days=3)


def text(moment: datetime) -> str:
    """A time as it travels."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def late(made: datetime, **claim: Any) -> dict[str, Any]:
    """The body of a create that tells of a run late."""
    return {
        "job_name": fresh("job"),
        "command": "true",
        "id": execution_id(made),
        "claim": {"agent_id": fresh("agent"), "started_at": text(made), **claim},
    }


def test_a_late_record_stands_where_it_happened(api: Api) -> None:
    """Three days later, the times shown are those of the run; those of recording are true too."""
    # given
    now = datetime.now(UTC)
    made = now.replace(microsecond=250_000) - DAYS
    began, ended = made + timedelta(milliseconds=40), made + timedelta(minutes=2)
    body = late(made, started_at=text(began))
    # when
    held = Held(api, api.post("", body).ok(201).json())
    held.append(b"done\n").ok()
    report = {"outcome": "exited", "exit_code": 0, "duration_ms": 119_960, "stdout_bytes": 5}
    for _ in range(2):
        held.complete(**report, ended_at=text(ended)).ok()
    # then
    shown = api.one(held.id)
    times = [shown[name] for name in ("created_at", "started_at", "completed_at")]
    assert times == [text(made), text(began), text(ended)]
    assert (shown["duration_ms"], shown["output"]) == (119_960, "done\n")
    events = api.events(held.id)
    assert [event["occurred_at"] for event in events] == times
    assert all(e["recorded_at"] >= text(now) for e in events)
    beyond = text(made + timedelta(seconds=1))
    found = api.all_pages({"job_id": shown["job_id"], "from": text(made), "to": beyond})
    assert [one["id"] for one in found] == [held.id]


def test_the_same_late_record_twice_is_one(api: Api) -> None:
    """Sent again the answer is the same lease, also if the start is told a little differently."""
    made = datetime.now(UTC).replace(microsecond=250_000) - DAYS
    body = late(made)
    first = Held(api, api.post("", body).ok(201).json())
    body["claim"]["started_at"] = text(made + timedelta(seconds=3))
    again = Held(api, api.post("", body).ok(201).json())
    del body["claim"]["started_at"]
    third = Held(api, api.post("", body).ok(201).json())
    assert first.lease["token"] == again.lease["token"] == third.lease["token"]
    assert again.execution["started_at"] == first.execution["started_at"] == text(made)
    assert api.types(first.id) == ["created", "started"]


def test_a_start_without_an_id_is_refused(api: Api) -> None:
    """400 that names the field: only a run whose id was made then can have begun before."""
    body = late(datetime.now(UTC) - DAYS, started_at=text(datetime.now(UTC) - DAYS))
    del body["id"]
    check_problem(api.post("", body), 400, field="claim.started_at")


@pytest.mark.parametrize("offset", [-DAYS, DAYS + timedelta(hours=1)], ids=["before", "future"])
def test_a_start_by_a_clock_that_was_set_lies_between_its_id_and_now(
    api: Api, offset: timedelta
) -> None:
    """The record is taken, at the nearest time that can be."""
    made = datetime.now(UTC) - DAYS
    held = Held(api, api.post("", late(made, started_at=text(made + offset))).ok(201).json())
    shown = api.one(held.id)
    expected = shown["created_at"] if offset < timedelta() else text(datetime.now(UTC))
    assert shown["created_at"] <= shown["started_at"] <= text(datetime.now(UTC))
    assert shown["started_at"][:16] == expected[:16]


@pytest.mark.parametrize("offset", [timedelta(hours=-1), timedelta(hours=1)])
def test_an_end_by_a_clock_that_was_set_lies_between_the_start_and_now(
    api: Api, offset: timedelta
) -> None:
    """The outcome is taken, at the nearest time that can be."""
    held = api.start()
    ended = text(datetime.now(UTC) + offset)
    held.complete(outcome="exited", exit_code=0, ended_at=ended).ok()
    shown = api.one(held.id)
    assert shown["status"] == "success"
    assert shown["started_at"] <= shown["completed_at"] <= text(datetime.now(UTC))


@pytest.mark.parametrize("duration_ms", [1200, 1 << 53])
def test_an_end_by_a_slow_clock_comes_after_the_duration(api: Api, duration_ms: int) -> None:
    """How long it took was measured by a clock that is not set; nothing ends after now."""
    made = datetime.now(UTC).replace(microsecond=0) - DAYS
    held = Held(api, api.post("", late(made, started_at=text(made))).ok(201).json())
    report = {"outcome": "exited", "exit_code": 0, "duration_ms": duration_ms}
    held.complete(**report, ended_at=text(made - DAYS)).ok()
    completed_at = api.one(held.id)["completed_at"]
    if duration_ms == 1200:
        assert completed_at == text(made + timedelta(milliseconds=1200))
    assert completed_at <= text(datetime.now(UTC))


def test_an_id_of_the_far_future_is_refused(api: Api) -> None:
    """Also one whose time no calendar has."""
    body = {"job_name": "n", "command": "c", "id": "exec_7zzzzzzzzzfzz8zzzzzzzzzzzz"}
    check_problem(api.post("", body), 400, field="id")


def test_masking_is_shown(api: Api) -> None:
    """That the agent hid secrets stands in the record; another report than without."""
    held = api.start()
    report = {"outcome": "exited", "exit_code": 0}
    assert held.complete(**report, masked=True).ok().json()["masked"] is True
    assert api.one(held.id)["masked"] is True
    assert api.events(held.id)[-1]["data"]["ending"]["masked"] is True
    check_problem(held.complete(**report), 409)
    plain = api.start()
    plain.complete(**report, masked=False).ok()
    assert api.one(plain.id)["masked"] is False
    assert "masked" not in api.events(plain.id)[-1]["data"]["ending"]


def _age(server: ServerProcess, execution: str, days: int) -> None:
    """Let the server give up on an execution, so many days ago."""
    with psycopg.connect(owner_conninfo(server), autocommit=True) as owner:
        owner.execute(
            "UPDATE store.leases SET expires_at = now() - interval '1 second' WHERE execution_id ="
            " (SELECT id FROM read.executions_1 WHERE job_id = %s)",
            [execution],
        )
        server.api.until(
            server.api.all_pages({"job_id": execution})[0]["id"],
            lambda found: found["failure_reason"] == "agent_lost",
        )
        owner.execute(
            "UPDATE store.leases SET lost_at = lost_at - make_interval(days => %s)"
            " WHERE execution_id = (SELECT id FROM read.executions_1 WHERE job_id = %s)",
            [days, execution],
        )


def test_an_outcome_days_after_the_lease_was_lost_is_kept(api: Api, server: ServerProcess) -> None:
    """Six days later outcome and the rest of the output are taken; the status stands."""
    # given
    job = fresh("job")
    held = api.start(job_id=job)
    held.append(b"begun, ").ok()
    _age(server, job, days=6)
    # when
    held.append(b"done\n", 7).ok()
    report = {"outcome": "exited", "exit_code": 0, "stdout_bytes": 12, "masked": True}
    for _ in range(2):
        answer = held.complete(**report)
        assert "late outcome" in check_problem(answer, 409, code="kept_as_late_outcome")["detail"]
    # then
    shown = api.one(held.id)
    assert (shown["status"], shown["failure_reason"]) == ("failed", "agent_lost")
    assert (shown["late_outcome"]["outcome"], shown["late_outcome"]["exit_code"]) == ("exited", 0)
    assert (shown["output"], shown["masked"]) == ("begun, done\n", True)
    assert api.types(held.id) == ["created", "started", "lost", "outcome_reported_late"]
