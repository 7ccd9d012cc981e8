"""Requests are read strictly: what is not exactly right is refused with the field's name."""

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from litestar.testing import RequestFactory

from api import parameters
from api.problems import Problem
from domain import ids
from projections.queries import Filter
from store.keys import Keys

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


KEYS = Keys(bytes(32))


_FACTORY = RequestFactory()  # makes an application, which takes longer than all the rest


def _request(query: str) -> Any:
    request: Any = _FACTORY.get("/v1/cron-executions")
    request.scope["ledger"] = SimpleNamespace(keys=KEYS)
    request.scope["query_string"] = query.encode()
    return request


def _refused(query: str) -> Problem:
    with pytest.raises(Problem) as refused:
        parameters.list_query(_request(query))
    return refused.value


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-01-31T12:00:00Z", NOON),
        ("2026-01-31T12:00:00", NOON),
        ("2026-01-31T12:00:00.000001Z", NOON.replace(microsecond=1)),
        ("2026-01-31T14:00:00+02:00", NOON),
        ("2026-01-31T06:30:00-0530", NOON),
        ("2026-01-31", NOON.replace(hour=0)),
        ("20260131", NOON.replace(hour=0)),
        ("20260131T120000Z", NOON),
        ("0001-01-01", datetime(1, 1, 1, tzinfo=UTC)),
    ],
)
def test_moments_are_read(text: str, moment: datetime) -> None:
    """ISO 8601 in all its usual forms is that moment, in UTC."""
    assert parameters.moment("from", text) == moment


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "now", "yesterday", "2026-13-01", "2026-02-30", "2026-01-31T25:00:00Z"),
        *("1769860800", "2026-01-31T12:00:00+99:00", "2026-01-31 ", "31.01.2026"),
        *("0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00"),
    ],
)
def test_what_is_no_moment_is_refused(text: str) -> None:
    """Anything else is 400 and names the field, also beyond the calendar's ends."""
    with pytest.raises(Problem, match=r"^from: ") as refused:
        parameters.moment("from", text)

    assert (refused.value.status, refused.value.fields[0][0]) == (400, "from")


@pytest.mark.parametrize("text", ["a", "host-1", "A.b_c:d@e-1", "0", "x" * 128])
def test_names_are_read(text: str) -> None:
    """A name is what it is."""
    assert parameters.name("job_id", text) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-a",
        ".a",
        "a b",
        "a/b",
        "a\n",
        "a\0",
        "ä",
        "x" * 129,
        "\N{ARABIC-INDIC DIGIT THREE}",
        "a'",
        "%41",
    ],
)
def test_what_is_no_name_is_refused(text: str) -> None:
    """Nothing that could mean something else in a path, a log or a terminal is a name."""
    with pytest.raises(Problem, match=r"^job_id: "):
        parameters.name("job_id", text)


@pytest.mark.parametrize("text", ["A", "_", "PATH", "a1_B"])
def test_variables_are_read(text: str) -> None:
    """The name of an environment variable is what it is."""
    assert parameters.variable("environment", text) == text


@pytest.mark.parametrize("text", ["", "1A", "A-B", "A=B", "A\n", "Ä", "A B"])
def test_what_is_no_variable_is_refused(text: str) -> None:
    """What a shell could not set is refused."""
    with pytest.raises(Problem, match=r"^environment: "):
        parameters.variable("environment", text)


def test_lines_and_texts_hold_no_traps() -> None:
    """A line has no control characters, a text no NUL; both keep everything else."""
    assert parameters.line("job_name", "nightly ☾ backup") == "nightly ☾ backup"
    assert parameters.text("command", "a\nb\t") == "a\nb\t"
    for broken in ("a\nb", "a\0", "\x1b[31m", "\x7f"):
        with pytest.raises(Problem, match=r"^job_name: "):
            parameters.line("job_name", broken)
    with pytest.raises(Problem, match=r"^command: "):
        parameters.text("command", "a\0b")


@pytest.mark.parametrize(
    "value",
    [
        "",
        "abc",
        "1.0",
        "5.0",
        "+5",
        " 5",
        "5 ",
        "1e3",
        "0x5",
        "\N{ARABIC-INDIC DIGIT FIVE}",
        "5\n",
        "-0x1",
        "9" * 30,
        "101",
    ],
)
def test_a_number_is_digits_within_bounds(value: str) -> None:
    """What could be turned into a number is none."""
    with pytest.raises(Problem, match=r"^limit: must be a whole number from 1 to 100"):
        parameters.integer({"limit": [value]}, "limit", 50, 1, 100)


def test_numbers_are_read() -> None:
    """Digits are a number, and nothing is the default."""
    assert parameters.integer({"limit": ["007"]}, "limit", 50, 1, 100) == 7
    assert parameters.integer({"offset": ["-0"]}, "offset", 5, 0, 10) == 0
    assert parameters.integer({}, "limit", 50, 1, 100) == 50


def test_a_list_request_is_read() -> None:
    """Everything that can be asked for, in one request; values are sorted and counted once."""
    asked = parameters.list_query(
        _request(
            "job_id=b&job_id=a&status=timeout&status=failed&status=failed&triggered_by=manual"
            "&from=2026-01-31T12%3A00%3A00%2B00%3A00&to=2026-02-01&limit=10&offset=20"
        )
    )

    assert asked.chosen == Filter(
        job_id=("a", "b"),
        status=("failed", "timeout"),
        triggered_by=("manual",),
        created_from=NOON,
        created_to=datetime(2026, 2, 1, tzinfo=UTC),
    )
    assert (asked.limit, asked.offset) == (10, 20)


def test_a_plus_that_was_not_encoded_is_forgiven() -> None:
    """An offset's plus that arrives as a space still means the offset."""
    asked = parameters.list_query(_request("from=2026-01-31T14:00:00+02:00"))

    assert asked.chosen.created_from == NOON


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("status=done", "status"),
        ("status=FAILED", "status"),
        ("status=", "status"),
        ("triggered_by=cron", "triggered_by"),
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=abc", "limit"),
        ("limit=10&limit=10", "limit"),
        ("offset=-1", "offset"),
        ("offset=1000000001", "offset"),
        ("from=2026-02-01&to=2026-01-31", "from"),
        ("from=x", "from"),
        ("Status=failed", "Status"),
        ("page=2", "page"),
        ("=", ""),
        ("cursor=abc", "cursor"),
        ("cursor=", "cursor"),
        ("cursor=" + ids.to_text("cur", UUID(int=5)) + "0" * 12, "cursor"),
        ("cursor=x&offset=0", "cursor"),
        ("job_id=%00", "job_id"),
        ("job_id=%ff", "query"),
        ("&".join(["job_id=a"] * 101), "query"),
        ("&".join(["status=failed"] * 11), "status"),
    ],
)
def test_a_mistaken_list_request_is_refused(query: str, field: str) -> None:
    """A mistyped filter must not list everything: 400, with a sentence that names the field."""
    problem = _refused(query)

    assert (problem.status, problem.code) == (400, "validation_error")
    assert problem.fields[0][0] == field
    assert problem.detail == f"{field}: {problem.fields[0][1]}"


@given(
    st.uuids(), st.lists(st.sampled_from(["failed", "success"]), unique=True).map(sorted).map(tuple)
)
def test_a_cursor_goes_on_where_it_was_given(last: UUID, status: tuple[str, ...]) -> None:
    """A cursor is read back under the filters that it was made with, and under no others."""
    chosen = Filter(status=status)
    asked = "".join(f"&status={one}" for one in status)
    cursor = parameters.cursor(KEYS, chosen, last)

    read = parameters.list_query(_request(f"cursor={cursor}{asked}"))

    assert read.chosen.before == last
    assert "other filters" in _refused(f"cursor={cursor}{asked}&job_id=j").detail


@given(st.uuids(), st.integers(0, 53), st.sampled_from("0123456789abcdefghjkmnpqrstvwxyz"))
def test_an_edited_cursor_is_refused(last: UUID, place: int, character: str) -> None:
    """No character of a cursor can be changed: it says where to go on, and that we said so."""
    cursor = parameters.cursor(KEYS, Filter(), last)
    edited = cursor[:place] + character + cursor[place + 1 :]

    if edited != cursor:
        assert _refused(f"cursor={edited}").fields[0][0] == "cursor"


@pytest.mark.parametrize("path", ["", "exec_", "42", "exec_" + "z" * 26, "tok_" + "0" * 26])
def test_an_id_that_is_none_is_not_there(path: str) -> None:
    """What is no id is answered as an id that does not exist."""
    request = _request("")
    request.scope["path_params"] = {"execution_id": path}

    with pytest.raises(Problem) as refused:
        parameters.execution_id(request)

    assert (refused.value.status, refused.value.code) == (404, "resource_not_found")
