"""Yesterday's answers: list and get as the ledger stood at a position or a time."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.support.calls import Api, fresh
from tests.support.problems import check_problem


def _positions(api: Api, execution: str) -> dict[str, int]:
    """At which position each thing happened to an execution."""
    return {e["type"].removeprefix("execution."): e["position"] for e in api.events(execution)}


def _shown(page: dict[str, Any]) -> list[tuple[str, str]]:
    return [(one["id"], one["status"]) for one in page["data"]]


def test_each_moment_of_an_execution_can_be_seen_again(api: Api) -> None:
    """Pending, running without output, ended with it, retried: by position and by time."""
    # given
    held = api.start()
    held.append(b"out\n").ok()
    held.complete(outcome="exited", exit_code=3, error="bad").ok()
    new = api.post(f"/{held.id}/retry").ok(201).json()
    at = _positions(api, held.id)
    # when
    seen = {
        name: api.get(f"/{held.id}", {"as_of": position}).ok().json()
        for name, position in at.items()
    }
    # then
    told = ("status", "output", "error", "output_bytes", "exit_code", "retried_as")
    assert {name: tuple(one[field] for field in told) for name, one in seen.items()} == {
        "created": ("pending", "", None, 0, None, None),
        "started": ("running", "", None, 0, None, None),
        "completed": ("failed", "out\n", "bad", 4, 3, None),
        "retried": ("failed", "out\n", "bad", 4, 3, new["id"]),
    }
    assert seen["completed"]["as_of"]["position"] == at["completed"]
    today = api.one(held.id)
    assert seen["retried"] == today | {"as_of": seen["retried"]["as_of"]}
    assert seen["created"]["started_at"] is None
    check_problem(api.get(f"/{held.id}", {"as_of": at["created"] - 1}), 404)
    later = (datetime.now(UTC)).isoformat()
    assert api.get(f"/{held.id}", {"as_of": later}).ok().json()["status"] == "failed"
    check_problem(api.get(f"/{held.id}", {"as_of": "2020-01-01"}), 404)


def test_the_time_of_an_event_leads_to_that_event(api: Api) -> None:
    """As it is shown, which is in milliseconds; and the time in that answer leads back to it."""
    held = api.start()
    held.complete(outcome="exited", exit_code=0).ok()
    for event in api.events(held.id):
        then = api.get(f"/{held.id}", {"as_of": event["recorded_at"]}).ok().json()["as_of"]
        assert then["position"] >= event["position"]
        again = api.get(f"/{held.id}", {"as_of": then["recorded_at"]}).ok().json()["as_of"]
        assert again == then


def test_a_list_of_the_past_looks_at_the_state_of_then(api: Api) -> None:
    """Filters, order and cursor as ever; what came later is not there, what ended later runs."""
    # given
    job = fresh("job")
    held = [api.start(job_name=job) for _ in range(5)]
    then = _positions(api, held[-1].id)["started"]
    for one in held:
        one.complete(outcome="exited", exit_code=0).ok()
    api.start(job_name=job)
    chosen = {"job_id": held[0].execution["job_id"], "as_of": then}
    # when
    first = api.get("", chosen | {"status": "running", "limit": 3}).ok().json()
    second = (
        api.get(
            "",
            chosen
            | {"status": "running", "limit": 3, "cursor": first["pagination"]["next_cursor"]},
        )
        .ok()
        .json()
    )
    # then
    newest_first = [(one.id, "running") for one in reversed(held)]
    assert _shown(first) + _shown(second) == newest_first
    for page in (first, second):
        assert (page["pagination"]["total"], page["pagination"]["total_is_exact"]) == (5, True)
    assert (second["pagination"]["has_more"], second["pagination"]["next_cursor"]) == (False, None)
    assert first["as_of"]["position"] == then
    assert first["as_of"]["unreadable"] == []
    assert api.get("", chosen | {"status": "success"}).ok().json()["data"] == []
    when = first["as_of"]["recorded_at"]
    earlier = (datetime.fromisoformat(when) - timedelta(seconds=60)).isoformat()
    assert api.get("", chosen | {"as_of": earlier}).ok().json()["data"] == []
    other = chosen | {"cursor": first["pagination"]["next_cursor"], "as_of": then - 1}
    check_problem(api.get("", other | {"status": "running"}), 400)


def test_what_was_erased_since_is_gone_from_the_past_too(api: Api) -> None:
    """The state is that of then, the output what is kept today."""
    held = api.start()
    held.append(b"out\n").ok()
    held.complete(outcome="exited", exit_code=0).ok()
    then = _positions(api, held.id)["completed"]
    api.post(f"/{held.id}/erase").ok()
    past = api.get(f"/{held.id}", {"as_of": then}).ok().json()
    assert (past["status"], past["output"]) == ("success", "")
    assert past["output_erased_at"] is not None


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ({"as_of": "soon"}, "ISO 8601"),
        ({"as_of": ""}, "ISO 8601"),
        ({"as_of": "-1"}, "ISO 8601"),
        ({"as_of": "9" * 30}, "whole number"),
        ({"as_of": "123456789012"}, "beyond the last position"),
        ({"as_of": "2999-01-01"}, "future"),
        ({"as_of": "1", "offset": "5"}, "offset"),
    ],
)
def test_a_moment_that_is_none_is_refused(api: Api, query: dict[str, str], says: str) -> None:
    """400 with a sentence, on list and get alike."""
    assert says in check_problem(api.get("", query), 400)["detail"]
    if "offset" not in query:
        made = api.create()["id"]
        assert says in check_problem(api.get(f"/{made}", query), 400)["detail"]


def test_before_the_first_event_there_was_nothing(api: Api) -> None:
    """Position 0 is the empty ledger."""
    api.create()
    page = api.get("", {"as_of": 0}).ok().json()
    assert (page["data"], page["pagination"]["total"]) == ([], 0)
    assert page["pagination"]["total_is_exact"]
    assert page["as_of"] == {"position": 0, "recorded_at": None, "unreadable": []}
