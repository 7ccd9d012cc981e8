"""The whole ledger in order: pages and live events, without a skip or a repeat, for ever."""

import time
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any

import pytest

from tests.support.calls import Api, Reply, eventually, fresh
from tests.support.following import Event, live_ledger, metric
from tests.support.problems import check_problem
from tests.support.server import ServerProcess
from tests.support.tokens import make_token, revoke_token

EVENTS = "/v1/events"


def _page(api: Api, **query: Any) -> dict[str, Any]:
    return dict(api.request("GET", EVENTS, query).ok().json())


def _all(api: Api, after: int = 0, **query: Any) -> list[dict[str, Any]]:
    """Every event after a position, page by page up to the head."""
    found = []
    while True:
        page = _page(api, after=after, **query)
        found += page["data"]
        after = page["pagination"]["next_after"]
        if not page["pagination"]["has_more"]:
            return found


def _head(api: Api) -> int:
    return int(_page(api, limit=1)["pagination"]["head"])


def _some(api: Api) -> tuple[int, list[str]]:
    """Three executions of one job, two of them ended; return the position before them."""
    before, job = _head(api), fresh("job")
    made = [api.brought_to(status, job_id=job)["id"] for status in ("success", "failed")]
    api.post(f"/{made[1]}/retry").ok(201)
    return before, [*made, job]


def test_pages_of_any_size_give_the_same_events_in_order(api: Api) -> None:
    """Positions from 1 on without a hole; the page at the head is empty and stays where it is."""
    # given
    _some(api)
    # when
    whole = _all(api, limit=1000)
    # then
    assert [event["position"] for event in whole] == list(range(1, len(whole) + 1))
    for limit in (1, 7):
        assert _all(api, after=len(whole) - 7, limit=limit) == whole[-7:]
    head = len(whole)
    assert _page(api, after=head) == {
        "data": [],
        "pagination": {
            "after": head,
            "limit": 100,
            "next_after": head,
            "has_more": False,
            "head": head,
        },
    }


def test_an_event_is_told_as_the_audit_trail_tells_it(api: Api) -> None:
    """The same members, beside whose event it is; correlation names the root."""
    before, (_, failed, _) = _some(api)
    trail = {event["position"]: event for event in api.events(failed)}
    for event in _all(api, after=before, execution_id=failed):
        told = trail.pop(event["position"])
        assert event["execution_id"] == failed
        assert event["unreadable"] is None
        assert {name: event[name] for name in told if name != "state"} == {
            name: value for name, value in told.items() if name != "state"
        }
    assert trail == {}


def test_filters_leave_what_they_name_and_the_place_moves_on(api: Api) -> None:
    """Types and executions may be repeated; different filters hold together."""
    # given
    before, (succeeded, failed, job) = _some(api)
    news = _all(api, after=before)
    by_job = [event["position"] for event in news]
    created = [e["position"] for e in news if e["type"] == "execution.created"]

    def found(**query: Any) -> list[int]:
        return [event["position"] for event in _all(api, after=before, **query)]

    # then
    assert found(job_id=job) == by_job
    assert found(job_id=[job, "another"], limit=2) == by_job
    assert found(type="execution.created") == created
    assert found(type=["execution.created", "job.unheard_of"], job_id=job) == created
    assert found(execution_id=succeeded, type="execution.created") == created[:1]
    assert found(execution_id=[succeeded, failed], job_id=job) == [*by_job[:6], by_job[7]]
    assert found(execution_id=succeeded, job_id="another") == []
    empty = _page(api, after=before, job_id="another")["pagination"]
    assert (empty["next_after"], empty["has_more"]) == (empty["head"], False)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        *(({"after": value}, "after") for value in ("-1", "x", "1.0", "", str(10**16))),
        *(({"limit": value}, "limit") for value in ("0", "1001", "many")),
        *(({"wait_seconds": value}, "wait_seconds") for value in ("31", "-1", "0.5")),
        *(
            ({"type": value}, "type")
            for value in ("", "completed", "execution.Created", "a b", "x." * 51)
        ),
        *(({"execution_id": value}, "execution_id") for value in ("", "exec_1", "job_1")),
        ({"type": ["execution.created"] * 11}, "type"),
        ({"job_id": ""}, "job_id"),
        ({"after": [1, 2]}, "after"),
        ({"before": 5}, "before"),
        ({"follow": "yes"}, "follow"),
        ({"follow": "true", "limit": 5}, "limit"),
        ({"follow": "true", "wait_seconds": 5}, "wait_seconds"),
        ({"last_event_id": "5"}, "last_event_id"),
        *(
            ({"follow": "true", "last_event_id": value}, "last_event_id")
            for value in ("", "5.0", "-1", "9" * 16)
        ),
    ],
)
def test_what_is_asked_wrongly_is_refused_by_name(
    api: Api, query: dict[str, Any], field: str
) -> None:
    """400 with the field."""
    check_problem(api.request("GET", EVENTS, query), 400, field=field)


def test_a_last_event_id_that_was_never_given_is_refused(api: Api) -> None:
    """The header counts as the query does; a page has no use for it."""
    headers = {"Last-Event-ID": "five"}
    answer = api.request("GET", EVENTS, {"follow": "true"}, headers=headers)
    check_problem(answer, 400, field="Last-Event-ID")
    api.request("GET", EVENTS, headers=headers).ok()


def test_a_place_that_the_ledger_never_reached_is_refused(api: Api) -> None:
    """409, whether a page or live events are asked for: to wait there would skip events."""
    beyond = {"after": 10**12}
    check_problem(api.request("GET", EVENTS, beyond), 409)
    check_problem(api.request("GET", EVENTS, beyond | {"follow": "true"}), 409)


def test_the_ledger_is_for_those_who_may_read(api: Api, server: ServerProcess) -> None:
    """401 and 403 as for every read."""
    check_problem(api.with_token(None).request("GET", EVENTS), 401)
    operator = api.with_token(make_token(server, "operate")[1])
    check_problem(operator.request("GET", EVENTS, {"follow": "true"}), 403)


def test_a_page_waits_for_the_first_event_that_matches(api: Api) -> None:
    """What does not match does not end the wait; its end without a match is an empty page."""
    head = _head(api)
    query = {"after": head, "wait_seconds": 30, "type": "execution.canceled"}
    with ThreadPoolExecutor(1) as threads:
        began = time.monotonic()
        waiting = threads.submit(api.request, "GET", EVENTS, query)
        eventually(lambda: metric(api, "cronledger_event_followers") == 1, "one who waits")
        made = api.create()
        api.cancel(made["id"]).ok()
        page = waiting.result().ok().json()
    assert time.monotonic() - began < 20
    assert [event["execution_id"] for event in page["data"]] == [made["id"]]
    query |= {"after": page["pagination"]["next_after"], "wait_seconds": 1}
    empty = api.request("GET", EVENTS, query).ok().json()
    assert empty["data"] == []


def _positions(events: list[Event]) -> list[int]:
    return [event.data["position"] for event in events]


def test_live_events_are_those_of_the_pages(api: Api) -> None:
    """From the beginning or any place; the id is the position; the header is the newer word."""
    # given
    _some(api)
    whole = _all(api, limit=1000)
    # when
    with live_ledger(api) as live:
        assert live.answer.headers["Content-Type"] == "text/event-stream"
        assert live.answer.headers["Cache-Control"] == "no-store"
        first = list(islice(live.events(), len(whole)))
    with live_ledger(api, {"after": 1, "last_event_id": 2}, after=len(whole) - 1) as live:
        last = next(live.events())
    # then
    assert [event.data for event in first] == whole
    assert {event.name for event in first} == {"recorded"}
    assert [event.id for event in first] == [str(event["position"]) for event in whole]
    assert last.data == whole[-1]


def test_a_client_that_accepts_only_events_gets_them(api: Api) -> None:
    """As a browser's EventSource asks; `follow=false` is the stronger word."""
    headers = {"Accept": "text/event-stream"}
    page = api.request("GET", EVENTS, {"follow": "false"}, headers=headers).ok()
    assert page.headers["Content-Type"] == "application/json"
    answer = api.request("GET", EVENTS, {"limit": 5}, headers=headers)
    check_problem(answer, 400, field="limit")


def test_whoever_goes_on_after_any_event_misses_nothing_and_sees_nothing_twice(api: Api) -> None:
    """Cut after every single event and resumed by its id, while more is recorded."""
    # given
    begin, job = _head(api), fresh("job")
    seen: list[Event] = []
    with ThreadPoolExecutor(1) as threads:
        writing = threads.submit(
            lambda: [api.brought_to("failed", job_id=job)["id"] for _ in range(8)]
        )
        # when
        last: object = begin
        while len(seen) < 24:
            with live_ledger(api, {"job_id": job}, after=last) as live:
                event = next(live.events())
            last = event.id
            if event.name == "recorded":
                seen.append(event)
        made = writing.result()
    # then
    told = [event for execution in made for event in api.events(execution)]
    assert _positions(seen) == sorted(event["position"] for event in told)


def test_50_followers_cost_one_read_of_each_commit(api: Api) -> None:
    """However many follow, and whatever they want, what is recorded is read once for all."""
    # given
    eventually(lambda: metric(api, "cronledger_event_followers") == 0, "nobody who follows")
    head, job = _head(api), fresh("job")
    lives = [
        live_ledger(api, {"job_id": job} if number % 2 else None, after=head)
        for number in range(50)
    ]
    try:
        streams = [live.events() for live in lives]
        api.create(job_id=job)
        assert len({next(events).data["position"] for events in streams}) == 1
        before = metric(api, "cronledger_event_reads_total")
        # when
        for _ in range(3):
            api.create(job_id=job)
            assert len({next(events).data["position"] for events in streams}) == 1
        # then
        assert metric(api, "cronledger_event_reads_total") - before == 3
        assert metric(api, "cronledger_event_followers") == 50
    finally:
        for live in lives:
            live.close()
    eventually(lambda: metric(api, "cronledger_event_followers") == 0, "the end of all followers")


def test_a_token_that_is_revoked_ends_what_it_follows(api: Api, server: ServerProcess) -> None:
    """Within a few seconds; the reader is told why."""
    token_id, secret = make_token(server, "read")
    with live_ledger(api.with_token(secret), after=_head(api)) as live:
        revoke_token(server, token_id)
        said = [event for event in live.events() if event.name == ""]
    assert ["token" in event.data for event in said] == [True]


def test_an_execution_shows_the_state_after_each_of_its_events(api: Api) -> None:
    """As get would have shown it then; the last one as get shows it now."""
    # given
    made = api.brought_to("failed")
    retry = api.post(f"/{made['id']}/retry").ok(201).json()
    # when
    trail = api.events(made["id"])
    # then
    steps = [
        (event["type"].removeprefix("execution."), event["state"]["status"]) for event in trail
    ]
    assert steps == [
        ("created", "pending"),
        ("started", "running"),
        ("completed", "failed"),
        ("retried", "failed"),
    ]
    states = [event["state"] for event in trail]
    assert [state["started_at"] for state in states] == [None, *[made["started_at"]] * 3]
    assert [state["exit_code"] for state in states] == [None, None, 3, 3]
    assert [state["retried_as"] for state in states] == [None, None, None, retry["id"]]
    now = api.one(made["id"])
    same = set(now) & set(states[-1]) - {"late_outcome"}
    assert {name: states[-1][name] for name in same} == {name: now[name] for name in same}
    assert [event["unreadable"] for event in trail] == [None] * 4


def test_the_events_of_no_execution_are_not_found(api: Api) -> None:
    """404 for what is no id, or of nothing."""
    replies: list[Reply] = [api.get("/x/events"), api.get(f"/exec_{'0' * 26}/events")]
    for reply in replies:
        check_problem(reply, 404)
