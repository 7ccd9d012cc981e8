"""The list: filters, order and pages, compared with a plain filter over everything there is."""

import itertools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.support.calls import STATUSES, Api, execution_id, fresh

START = datetime(2024, 2, 28, 22, 0, tzinfo=UTC)
Known = list[dict[str, Any]]
_OPTIONS: dict[str, tuple[Any, ...]] = {
    "job_id": (None, "nobody's", "alpha", ["alpha", "beta"]),
    "status": (None, "failed", ["pending", "running", "canceled"]),
    "triggered_by": (None, "retry", ["scheduled", "retry"]),
    "from": (None, START + timedelta(hours=4)),
    "to": (None, START + timedelta(hours=13)),
}


@pytest.fixture(scope="module")
def jobs() -> dict[str, str]:
    """The real ids of the jobs that the tests call alpha and beta."""
    return {name: fresh(name) for name in ("alpha", "beta", "gamma")}


@pytest.fixture(scope="module")
def made(api: Api, jobs: dict[str, str]) -> int:
    """An execution an hour, of each job and status, triggers in turn; return how many.

    Their ids are made by the client, so that their moments are known; retries happen now.
    """
    count = 0
    triggers = itertools.cycle(["manual", "scheduled"])
    for hour, (job, status) in enumerate(itertools.product(jobs.values(), STATUSES)):
        one = api.brought_to(
            status,
            id=execution_id(START + timedelta(hours=hour)),
            job_id=job,
            triggered_by=next(triggers),
        )
        count += 1
        if status == "failed":
            api.post(f"/{one['id']}/retry").ok(201)
            count += 1
    return count


@pytest.fixture
def known(api: Api, made: int) -> Known:
    """Everything on this server, newest first."""
    everything = api.all_pages()
    assert len(everything) >= made == 21
    return everything


def matches(seen: dict[str, Any], query: dict[str, Any]) -> bool:
    """The filter in plain words."""
    for name in ("job_id", "status", "triggered_by"):
        wanted = query.get(name)
        if wanted is not None and seen[name] not in (
            [wanted] if isinstance(wanted, str) else wanted
        ):
            return False
    created_at = datetime.fromisoformat(seen["created_at"])
    return not (
        ("from" in query and created_at < query["from"])
        or ("to" in query and created_at >= query["to"])
    )


def ids(executions: Known) -> list[str]:
    """Their ids, in order."""
    return [execution["id"] for execution in executions]


def as_sent(query: dict[str, Any]) -> dict[str, Any]:
    """The query with its moments as text."""
    return {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in query.items()
    }


def combinations(jobs: dict[str, str]) -> list[dict[str, Any]]:
    """Every filter alone and together with every other."""

    def real(value: Any) -> Any:
        if isinstance(value, list):
            return [jobs.get(one, one) for one in value]
        return jobs.get(value, value) if isinstance(value, str) else value

    return [
        {name: real(value) for name, value in zip(_OPTIONS, chosen, strict=True) if value}
        for chosen in itertools.product(*_OPTIONS.values())
    ]


def test_each_filter_and_all_together_find_what_a_plain_filter_finds(
    api: Api, known: Known, jobs: dict[str, str]
) -> None:
    """144 combinations of job_id, status, triggered_by, from and to, single and repeated."""
    found_any = 0
    for query in combinations(jobs):
        page = api.get("", as_sent(query | {"limit": 100})).ok().json()
        expected = [seen for seen in known if matches(seen, query)][:100]
        assert ids(page["data"]) == ids(expected), query
        assert page["pagination"]["total"] >= len(expected)
        found_any += bool(expected)
    assert found_any > 50


def test_limit_and_offset_cut_the_same_order_anywhere(
    api: Api, known: Known, jobs: dict[str, str]
) -> None:
    """A page is a slice of the filtered list; it says how many there are, and if more follow."""
    query = {"job_id": [jobs["alpha"], jobs["gamma"]]}
    expected = [seen for seen in known if matches(seen, query)]
    for limit, offset in itertools.product((1, 3, 14, 15, 100), (0, 1, 5, 13, 14, 15, 10**9)):
        page = api.get("", query | {"limit": limit, "offset": offset}).ok().json()
        assert ids(page["data"]) == ids(expected[offset : offset + limit])
        pagination = page["pagination"]
        assert pagination["next_cursor"] is None or isinstance(pagination.pop("next_cursor"), str)
        pagination.pop("next_cursor", None)
        assert pagination == {
            "limit": limit,
            "offset": offset,
            "total": len(expected),
            "total_is_exact": True,
            "has_more": offset + limit < len(expected),
        }


def test_newest_come_first_by_time_of_creation(known: Known) -> None:
    """The order of ids is that of `created_at`; a late record stands in its place."""
    assert ids(known) == sorted(ids(known), reverse=True)
    moments = [seen["created_at"] for seen in known]
    assert moments == sorted(moments, reverse=True)
    assert START.isoformat(timespec="milliseconds").replace("+00:00", "Z") in moments


def test_from_is_inclusive_and_to_is_exclusive(api: Api, known: Known) -> None:
    """An execution of exactly `from` is in, one of exactly `to` is not, to the millisecond."""
    assert known
    window = fresh("window")
    moment = datetime(2023, 5, 5, 5, 5, 5, 123000, tzinfo=UTC)
    made = api.create(id=execution_id(moment), job_id=window)
    step = timedelta(milliseconds=1)

    def found(**query: datetime) -> list[str]:
        sent = {name.rstrip("_"): value.isoformat() for name, value in query.items()}
        return ids(api.get("", sent | {"job_id": window}).ok().json()["data"])

    assert found(from_=moment) == [made["id"]]
    assert found(from_=moment + step) == []
    assert found(to=moment) == []
    assert found(to=moment + step) == [made["id"]]
    assert found(from_=moment, to=moment) == []


@pytest.mark.parametrize(
    "spelled",
    [
        *("2023-06-01", "20230601", "2023-06-01T00:00", "2023-06-01T00:00:00Z"),
        *("2023-06-01T02:00:00+02:00", "2023-05-31T19:00:00.000-05:00", "2023-W22-4"),
    ],
)
def test_times_are_any_iso_8601_and_utc_without_an_offset(api: Api, spelled: str) -> None:
    """A date, a date-time, any offset: all of these are the same moment."""
    window = fresh("window")
    moment = datetime(2023, 6, 1, tzinfo=UTC)
    made = api.create(id=execution_id(moment), job_id=window)
    before = api.get("", {"job_id": window, "to": spelled}).ok().json()["data"]
    after = api.get("", {"job_id": window, "from": spelled}).ok().json()["data"]
    assert (ids(before), ids(after)) == ([], [made["id"]])


def test_a_plus_that_was_not_encoded_is_still_an_offset(api: Api) -> None:
    """`+02:00` typed into a URL arrives as a space; what was meant is clear."""
    window = fresh("window")
    made = api.create(id=execution_id(datetime(2023, 6, 1, tzinfo=UTC)), job_id=window)
    query = f"job_id={window}&from=2023-06-01T02:00:00+02:00"
    assert ids(api.get("", query).ok().json()["data"]) == [made["id"]]


def test_a_page_has_50_by_default_and_100_at_most(api: Api) -> None:
    """`limit` defaults to 50; 100 are allowed, 101 are not."""
    job = fresh("many")
    for _ in range(103):
        api.create(job_id=job)
    page = api.get("", {"job_id": job}).ok().json()
    assert (len(page["data"]), page["pagination"]["limit"]) == (50, 50)
    assert page["pagination"]["has_more"]
    assert len(api.get("", {"job_id": job, "limit": 100}).ok().json()["data"]) == 100
    api.get("", {"job_id": job, "limit": 101}).ok(400)


# ----------------------------------------------------------------------------------------- cursors


@pytest.mark.parametrize("limit", [1, 4, 7, 100])
def test_cursors_lead_through_everything_once(
    api: Api, known: Known, jobs: dict[str, str], limit: int
) -> None:
    """No repeat and no skip, also when executions are created between two pages."""
    query = {"job_id": list(jobs.values()), "limit": limit}
    expected = [seen["id"] for seen in known if seen["job_id"] in jobs.values()]
    found: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = api.get("", query | cursor).ok().json()
        found += ids(page["data"])
        assert page["pagination"]["total"] >= len(expected)
        if not page["pagination"]["has_more"]:
            assert page["pagination"]["next_cursor"] is None
            break
        cursor = {"cursor": page["pagination"]["next_cursor"]}
        api.create()  # newer than all pages to come, and of another job
    assert found == expected


def test_new_executions_do_not_shift_the_pages_of_a_cursor(api: Api) -> None:
    """What is created after the first page is not on the second, and pushes nothing onto it."""
    job = fresh("growing")
    old = [api.create(job_id=job)["id"] for _ in range(4)]
    first = api.get("", {"job_id": job, "limit": 2}).ok().json()
    newer = api.create(job_id=job)["id"]
    cursor = first["pagination"]["next_cursor"]
    second = api.get("", {"job_id": job, "limit": 2, "cursor": cursor}).ok().json()
    assert ids(first["data"]) + ids(second["data"]) == old[::-1]
    assert newer not in ids(second["data"])


_CHANGES: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "another job": lambda query: query | {"job_id": "other"},
    "no job": lambda query: {name: value for name, value in query.items() if name != "job_id"},
    "one more filter": lambda query: query | {"status": "pending"},
    "a time": lambda query: query | {"from": "2020-01-01"},
}


@pytest.mark.parametrize("change", _CHANGES)
def test_a_cursor_is_bound_to_its_filters(api: Api, change: str) -> None:
    """Used with other filters a cursor is a 400 that names it; `limit` may change."""
    job = fresh("bound")
    for _ in range(3):
        api.create(job_id=job)
    query: dict[str, Any] = {"job_id": job}
    cursor = api.get("", query | {"limit": 1}).ok().json()["pagination"]["next_cursor"]
    assert len(api.get("", query | {"limit": 5, "cursor": cursor}).ok().json()["data"]) == 2
    refused = api.get("", _CHANGES[change](query) | {"cursor": cursor}).ok(400)
    assert refused.json()["error"]["details"][0]["field"] == "cursor"


@pytest.mark.parametrize("made_up", ["", "x", "cur_", "0" * 42, "cur_01k0000000000000000000000"])
def test_a_made_up_cursor_is_refused(api: Api, made_up: str) -> None:
    """Cursors are opaque: what the API did not give out is a 400."""
    refused = api.get("", {"cursor": made_up}).ok(400)
    assert refused.json()["error"]["details"][0]["field"] == "cursor"


def test_cursor_and_offset_together_are_refused(api: Api) -> None:
    """Two ways to say where to go on are one too many."""
    for _ in range(2):
        api.create()
    cursor = api.get("", {"limit": 1}).ok().json()["pagination"]["next_cursor"]
    assert "offset" in api.get("", {"cursor": cursor, "offset": 0}).ok(400).json()["detail"]
