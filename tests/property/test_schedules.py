"""Schedules against a second opinion: croniter for cron, day by day counting for phrases."""

import itertools
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import pytest
from croniter import croniter  # type: ignore[import-untyped]  # it has no types
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

from projections import schedules

TIMES: Final = 8
ZONES: Final = (
    *("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Sao_Paulo"),
    *("Asia/Kolkata", "Africa/Cairo", "Pacific/Apia"),
)
DAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


def field(lowest: int, highest: int) -> st.SearchStrategy[str]:
    """One field of cron: everything, steps, a number, a range, a list."""
    number = st.integers(lowest, highest)
    # croniter takes a range of one number, 5-5, for any number: there are none of these here.
    span = st.sets(number, min_size=2, max_size=2).map(lambda two: f"{min(two)}-{max(two)}")
    step = st.integers(1, highest // 2 or 1)
    return st.one_of(
        st.just("*"),
        step.map(lambda n: f"*/{n}"),
        number.map(str),
        span,
        st.tuples(span, step).map(lambda pair: f"{pair[0]}/{pair[1]}"),
        st.lists(number, min_size=2, max_size=4, unique=True).map(
            lambda some: ",".join(map(str, sorted(some)))
        ),
    )


# Days of the month that come in every month, so that neither has to search for decades.
CRONS: Final = st.tuples(field(0, 59), field(0, 23), field(1, 28), field(1, 12), field(0, 6)).map(
    " ".join
)
MOMENTS: Final = st.datetimes(datetime(1990, 1, 1), datetime(2090, 1, 1))  # noqa: DTZ001 - in any zone


def ours(cron: str, zone: str, after: datetime) -> Iterator[datetime]:
    """The times that this project computes."""
    return (moment.astimezone(UTC) for moment in schedules.upcoming(cron, zone, after, 1000))


def croniters(cron: str, after: datetime) -> Iterator[datetime]:
    """The times that croniter computes."""
    # In Debian's cron a field that begins with a star does not turn days into "either of both".
    found = croniter(cron, after, implement_cron_bug=True)
    while True:
        yield found.get_next(datetime).astimezone(UTC)


def changes_near(zone: str, moment: datetime) -> bool:
    """Whether the clocks of a zone change within three hours of a moment."""
    local = [
        (moment + timedelta(hours=hours)).astimezone(ZoneInfo(zone)).utcoffset()
        for hours in (-3, 3)
    ]
    return local[0] != local[1]


@settings(max_examples=40, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(cron=CRONS, zone=st.sampled_from(ZONES), moment=MOMENTS)
@example("*/13 0,8 * * *", "Australia/Lord_Howe", datetime(2002, 3, 30, 15))  # noqa: DTZ001
@example("*/13 0,8 * * *", "Australia/Lord_Howe", datetime(2002, 10, 26, 15))  # noqa: DTZ001
def test_cron_is_due_when_croniter_says(cron: str, zone: str, moment: datetime) -> None:
    """The same times in any zone and year; only where clocks change croniter has some more."""
    after = moment.replace(tzinfo=ZoneInfo(zone), second=0, microsecond=0)
    after = after.astimezone(UTC).astimezone(ZoneInfo(zone))  # a time that there is
    expected = list(itertools.islice(croniters(cron, after), TIMES))
    found = list(itertools.takewhile(lambda at: at <= expected[-1], ours(cron, zone, after)))

    assert set(found) <= set(expected)
    assert [at for at in expected if at not in found and not changes_near(zone, at)] == []


@pytest.mark.parametrize(
    "day", [datetime(2026, 4, 4, tzinfo=UTC), datetime(2026, 10, 3, tzinfo=UTC)]
)
@pytest.mark.parametrize("hours", ["0,8", "1,2,3,9", "2", "*/5", "23"])
def test_backwards_the_times_are_the_same(day: datetime, hours: str) -> None:
    """Also on the two days on which clocks change by half an hour."""
    howe, cron = ZoneInfo("Australia/Lord_Howe"), f"*/7 {hours} * * *"
    begin, end = (at.astimezone(howe) for at in (day, day + timedelta(days=2)))
    forwards = list(itertools.takewhile(lambda at: at < end, schedules.Times(cron, begin)))
    backwards = schedules.Times(cron, end, reverse=True)
    found = list(itertools.takewhile(lambda at: at > begin, backwards))
    assert [at.astimezone(UTC) for at in reversed(found)] == [at.astimezone(UTC) for at in forwards]


BERLIN, NEW_YORK, LORD_HOWE = "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"


@pytest.mark.parametrize(
    ("cron", "zone", "day", "only_croniters"),
    [
        # Fixed hours in an hour that comes twice: once in Debian's cron, twice in croniter.
        ("30 2 * * *", BERLIN, "2026-10-24", ["2026-10-25T01:30"]),
        ("15 1,2,3 * * *", BERLIN, "2026-10-24", ["2026-10-25T01:15"]),
        ("0,30 1-3 * * *", BERLIN, "2026-10-24", ["2026-10-25T01:00", "2026-10-25T01:30"]),
        ("30 1 * * *", NEW_YORK, "2026-10-31", ["2026-11-01T06:30"]),
        # Half an hour that comes twice.
        ("45 1 * * *", LORD_HOWE, "2026-04-04", ["2026-04-04T15:15"]),
        # A field with a star, and an hour that does not come: not at all, against once after it.
        ("*/20 2 * * *", BERLIN, "2026-03-28", ["2026-03-29T01:00"]),
        ("0 */2 * * *", BERLIN, "2026-03-28", ["2026-03-29T01:00"]),
        ("*/20 2 * * *", NEW_YORK, "2026-03-07", ["2026-03-08T07:00"]),
        ("0 */2 * * *", LORD_HOWE, "2026-10-03", ["2026-10-03T15:30"]),
        # Fixed hours that do not come: both run at the first moment after them.
        ("30 2 * * *", BERLIN, "2026-03-28", []),
        ("30 2 * * *", NEW_YORK, "2026-03-07", []),
        # Each hour that there is.
        ("0 * * * *", BERLIN, "2026-10-24", []),
        ("*/15 * * * *", LORD_HOWE, "2026-04-04", []),
    ],
)
def test_known_differences_where_clocks_change(
    cron: str, zone: str, day: str, only_croniters: list[str]
) -> None:
    """All that differs on the night of a change, named: in this Debian's cron is followed."""
    after = datetime.fromisoformat(day).replace(hour=12, tzinfo=ZoneInfo(zone))
    until = after.astimezone(UTC) + timedelta(hours=36)
    theirs = set(itertools.takewhile(lambda at: at < until, croniters(cron, after)))
    found = set(itertools.takewhile(lambda at: at < until, ours(cron, zone, after)))

    assert found - theirs == set()
    assert sorted(at.isoformat()[:16] for at in theirs - found) == only_croniters


@settings(max_examples=60)
@given(
    days=st.sets(st.integers(0, 6), min_size=1),
    hour=st.integers(0, 23),
    minute=st.integers(0, 59),
    moment=MOMENTS,
    half=st.booleans(),
)
def test_days_and_a_time_mean_what_they_say(
    days: set[int], hour: int, minute: int, moment: datetime, *, half: bool
) -> None:
    """`every monday and friday at 2:30pm` is due at that time on those days and on no other."""
    named = " and ".join(DAYS[day] for day in sorted(days))
    suffix = f"{(hour - 1) % 12 + 1}:{minute:02}{'am' if hour < 12 else 'pm'}"
    time = suffix if half else f"{hour}:{minute:02}"
    after = moment.replace(tzinfo=UTC)
    cron = schedules.cron_of(f"every {named} at {time}")

    found = schedules.upcoming(cron, "UTC", after, 9)

    dates = (after.date() + timedelta(days=n) for n in range(100))
    expected = (
        datetime(date.year, date.month, date.day, hour, minute, tzinfo=UTC)
        for date in dates
        if date.weekday() in days
    )
    assert found == list(itertools.islice((at for at in expected if at > after), 9))


@settings(max_examples=60)
@given(
    text=st.one_of(
        st.text(max_size=40),
        st.lists(
            st.sampled_from(
                [
                    "every",
                    "on",
                    "at",
                    "the",
                    "and",
                    ",",
                    "day",
                    "week",
                    "month",
                    "year",
                    "monday",
                    "1st",
                    "31st",
                    "5",
                    "60",
                    "minutes",
                    "hours",
                    "9am",
                    "25:00",
                    "noon",
                    "last",
                    "january",
                    "minute",
                    ":",
                    ":15",
                    "daily",
                    "weekly",
                    "weekend",
                    "@daily",
                    "*",
                    "*/5",
                ]
            ),
            max_size=8,
        ).map(" ".join),
    )
)
def test_any_text_is_a_schedule_or_is_refused_with_a_sentence(text: str) -> None:
    """Nothing else happens, whatever is written; and what it means is stable."""
    try:
        cron = schedules.cron_of(text)
    except ValueError:
        return
    assert schedules.cron_of(cron) == cron
    assert schedules.upcoming(cron, "UTC", datetime(2026, 1, 1, tzinfo=UTC), 1)
    assert schedules.sentence(cron)
