"""When a job is due."""

from datetime import UTC, datetime

import pytest

from projections import schedules


def at(text: str) -> datetime:
    """A time in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("schedule", "zone", "now", "due", "following"),
    [
        ("0 3 * * *", None, "2026-01-31 12:00", "2026-01-31 03:00", "2026-02-01 03:00"),
        ("@daily", None, "2026-01-31 00:00:59", "2026-01-30 00:00", "2026-01-31 00:00"),
        ("@daily", None, "2026-01-31 00:01:01", "2026-01-31 00:00", "2026-02-01 00:00"),
        ("@weekly", None, "2026-01-31 12:00", "2026-01-25 00:00", "2026-02-01 00:00"),
        ("*/5 * * * 1-5", None, "2026-01-31 12:00", "2026-01-30 23:55", "2026-02-02 00:00"),
        ("0 3 * * *", "Asia/Tokyo", "2026-01-31 12:00", "2026-01-30 18:00", "2026-01-31 18:00"),
        # The hour from two to three does not come in Berlin on this day.
        ("30 2 * * *", "Europe/Berlin", "2026-03-29 12:00", "2026-03-29 01:00", "2026-03-30 00:30"),
        ("0 0 29 2 *", None, "2026-01-31 12:00", "2024-02-29 00:00", "2028-02-29 00:00"),
        ("0 3 * * *", "No/Such", "2026-01-31 12:00", "2026-01-31 03:00", "2026-02-01 03:00"),
    ],
)
def test_the_last_due_time(
    schedule: str, zone: str | None, now: str, due: str, following: str
) -> None:
    """A minute after it was due a run counts as missed, and not before; zones hold."""
    found = schedules.last_due(schedule, zone, at(now))

    assert found == schedules.Due(at(due), at(following))


@pytest.mark.parametrize("schedule", ["* * * * *", "0 0 * * MON-FRI", "0 12 1,15 * *", "@hourly"])
def test_what_comes_round_is_a_schedule(schedule: str) -> None:
    """Five fields, with names and lists, or a name."""
    schedules.check(schedule)


@pytest.mark.parametrize(
    ("schedule", "sentence"),
    [
        ("@reboot", "cannot be @reboot"),
        ("@fortnightly", "is none of @hourly"),
        ("* * * *", "must have five fields"),
        ("0 0 0 * * *", "must have five fields"),
        ("0 24 * * *", "bad hour"),
        ("0 0 30 2 *", "bad day-of-month"),
    ],
)
def test_what_never_comes_is_none(schedule: str, sentence: str) -> None:
    """The sentence says what is wrong."""
    with pytest.raises(ValueError, match=sentence):
        schedules.check(schedule)
