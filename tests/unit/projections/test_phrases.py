"""Schedules in English."""

import pytest

from projections import schedules

MEANT = {
    "every minute": "* * * * *",
    "every 5 minutes": "*/5 * * * *",
    "Every  Five Minutes": "*/5 * * * *",
    "every other hour": "0 */2 * * *",
    "every hour": "0 * * * *",
    "hourly at :30": "30 * * * *",
    "every 2 hours at minute 15 on weekdays": "15 */2 * * 1-5",
    "every 15 minutes on monday and wednesday": "*/15 * * * 1,3",
    "every day": "0 0 * * *",
    "daily at noon": "0 12 * * *",
    "every day at 2:30pm": "30 14 * * *",
    "every day at 12am": "0 0 * * *",
    "every day at 12:05 p.m.": "5 12 * * *",
    "every day at 9am, 1pm and 17:00": "0 9,13,17 * * *",
    "every weekday at 9am": "0 9 * * 1-5",
    "every weekend at 10:00": "0 10 * * 0,6",
    "every sunday at midnight": "0 0 * * 0",
    "on mondays, wednesdays and fridays at 18:00": "0 18 * * 1,3,5",
    "mon and fri at 7am": "0 7 * * 1,5",
    "weekly": "0 0 * * 0",
    "every week on tuesday at 8am": "0 8 * * 2",
    "every month": "0 0 1 * *",
    "every month on the 1st": "0 0 1 * *",
    "every month on the 1st and the 15th at 6:45am": "45 6 1,15 * *",
    "every month on the last day at noon": "0 12 L * *",
    "monthly at 3am": "0 3 1 * *",
    "every year on january 1st at midnight": "0 0 1 1 *",
    "every feb 29": "0 0 29 2 *",
    "yearly": "0 0 1 1 *",
    "@daily": "0 0 * * *",
    "@Hourly": "0 * * * *",
    "  0  3 * *  1-5 ": "0 3 * * 1-5",
}


@pytest.mark.parametrize("schedule", MEANT)
def test_a_schedule_is_five_fields(schedule: str) -> None:
    """Phrases, names and cron itself come down to cron."""
    assert schedules.cron_of(schedule) == MEANT[schedule]


@pytest.mark.parametrize(
    ("schedule", "sentence"),
    [
        ("every 7 minutes", "must divide 60"),
        ("every 90 minutes", "must divide 60"),
        ("every 5 hours", "must divide 24"),
        ("every 0 minutes", "must divide 60"),
        ("every fortnight", "'fortnight', which is not understood"),
        ("every 5 days", "'days', which is not understood"),
        ("at noon", "begins with neither every nor on"),
        ("every day at 9", "'9', which is no time"),
        ("every day at 25:00", "'25:00', which is no time"),
        ("every day at 13pm", "'13pm', which is no time"),
        ("every day at 9am and 5:30pm", "takes two schedules"),
        ("every day at", "ends too early"),
        ("every day at noon sharp", "'sharp', which is not understood there"),
        ("every hour at 15", "`at minute 15`"),
        ("every hour at minute 61", "no minute of an hour"),
        ("every month on the 32nd", "no day of that month"),
        ("every feb 30", "no day of that month"),
        ("every year on smarch 1", "no month"),
        ("every monday and noon", "no day of the week"),
        ("every", "not understood"),
        ("", "is empty"),
        ("@reboot", "cannot be @reboot"),
        ("0 0 30 2 *", "bad day-of-month"),
        ("61 * * * *", "bad minute"),
    ],
)
def test_what_is_not_understood_is_refused(schedule: str, sentence: str) -> None:
    """With what is wrong; for a phrase also with what would be understood."""
    with pytest.raises(ValueError, match=sentence) as refused:
        schedules.cron_of(schedule)
    if schedule and schedule[0].isalpha():
        assert "every weekday at 9am" in str(refused.value)


@pytest.mark.parametrize(
    ("day", "said"), [(11, "11th"), (13, "13th"), (20, "20th"), (21, "21st"), (22, "22nd")]
)
def test_days_of_the_month_are_counted_as_people_do(day: int, said: str) -> None:
    """21st, and not 21th."""
    assert schedules.sentence(f"0 0 {day} * *") == f"At 00:00 on the {said} day of every month"


def test_a_schedule_is_said_in_words() -> None:
    """One sentence for people."""
    assert schedules.sentence("0 9 * * 1-5") == "At 09:00 on Monday through Friday"
