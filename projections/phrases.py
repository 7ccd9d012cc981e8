"""Schedules in English, as five fields of cron.

A small grammar that refuses what it does not understand, with a hint of what it does: a schedule
that is almost understood would run at a time that nobody meant.

    every minute | every 5 minutes | every hour | every 2 hours        [at minute 15] [on DAYS]
    every day | daily | every weekday | every weekend | DAYS | weekly  [at TIMES]
    every month on the 1st and 15th | monthly | … on the last day      [at TIMES]
    every year on january 1st | yearly                                 [at TIMES]

DAYS are names of days (monday, mon, mondays), several with commas and `and`, or weekdays, weekends.
TIMES are 9am, 2:30pm, 14:30, noon, midnight; several at the same minute of their hours. Without a
time it is midnight.
"""

import re
from collections.abc import Callable
from typing import Final, NoReturn, TypeVar

_T = TypeVar("_T")

HINT: Final = (
    "write five fields of cron, a name such as @daily, or a phrase such as: every 5 minutes, "
    "every hour at minute 15, every day at 2:30pm, every weekday at 9am, every monday and friday "
    "at 18:00, every month on the 1st at noon, every year on january 1st at midnight"
)
_DAYS: Final = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
_MONTHS: Final = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)
_MONTH_DAYS: Final = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_DAY_NUMBERS: Final = {
    name: number
    for number, day in enumerate(_DAYS)
    for name in (day, day + "s", day[:3], *(("tues",) if day == "tuesday" else ()))
} | {"thur": 4, "thurs": 4}
_MONTH_NUMBERS: Final = {
    name: number
    for number, month in enumerate(_MONTHS, 1)
    for name in (month, month[:3], *(("sept",) if month == "september" else ()))
}
_SETS_OF_DAYS: Final = {
    "weekday": "1-5",
    "weekdays": "1-5",
    "weekend": "0,6",
    "weekends": "0,6",
}
_SHORT: Final = {
    "hourly": "every hour",
    "daily": "every day",
    "weekly": "every sunday",
    "monthly": "every month",
    "yearly": "every year",
    "annually": "every year",
}
_WORD_NUMBERS: Final = {
    "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "ten": 10, "fifteen": 15, "twenty": 20,
    "thirty": 30, "other": 2,
}  # fmt: skip
_TIME: Final = re.compile(r"(\d{1,2})(?::(\d{2}))?(am|pm)?\Z")
_ORDINAL: Final = re.compile(r"(\d{1,2})(?:st|nd|rd|th)?\Z")
_SPACED_HALF: Final = re.compile(r"(?<=\d) +(?=[ap]\.?m\b)")
_UNITS: Final = {"minute": 60, "minutes": 60, "hour": 24, "hours": 24}


def cron_of(phrase: str) -> str:
    """Return the five fields that `phrase` means. Raises `ValueError` with a sentence."""
    text = _SPACED_HALF.sub("", phrase.lower()).replace("a.m.", "am").replace("p.m.", "pm")
    words = text.replace(",", " , ").split()
    if words and words[0] in _SHORT:
        words[:1] = _SHORT[words[0]].split()
    return _Phrase(phrase, words).cron()


class _Phrase:
    """Reads the words from left to right."""

    def __init__(self, phrase: str, words: list[str]) -> None:
        self._phrase = phrase
        self._words = words
        self._at = 0

    def cron(self) -> str:
        """Read all of it."""
        if self._peek() == "on" or self._peek() in _DAY_NUMBERS:
            self._take("on")
            return self._by_days(self._days())
        if not self._take("every") and not self._take("each"):
            self._refuse("begins with neither every nor on")
        word = self._peek()
        if word in _DAY_NUMBERS or word in _SETS_OF_DAYS:
            return self._by_days(self._days())
        if self._take("day"):
            return self._by_days("*")
        if self._take("week"):
            return self._by_days(self._days() if self._take("on") else "0")
        if self._take("month"):
            return self._by_dates("*")
        if self._take("year"):
            return self._by_dates(self._month()) if self._take("on") else self._by_year()
        if word in _MONTH_NUMBERS:
            return self._by_dates(self._month())
        return self._by_steps()

    # ------------------------------------------------------------------------------------- kinds

    def _by_days(self, days: str) -> str:
        hours, minute = self._times()
        return self._whole(f"{minute} {hours} * * {days}")

    def _by_dates(self, month: str) -> str:
        if month == "*":
            dates = self._dates(31) if self._take("on") else "1"
        else:
            dates = self._dates(_MONTH_DAYS[int(month) - 1])
        hours, minute = self._times()
        return self._whole(f"{minute} {hours} {dates} {month} *")

    def _by_year(self) -> str:
        hours, minute = self._times()
        return self._whole(f"{minute} {hours} 1 1 *")

    def _by_steps(self) -> str:
        count = self._count()
        unit = self._next()
        if unit not in _UNITS:
            self._refuse(f"holds {unit!r}, which is not understood here")
        whole = _UNITS[unit]
        if not 0 < count < whole or whole % count:
            self._refuse(
                f"asks for every {count} {unit}, which cron cannot keep evenly: the number must "
                f"divide {whole}"
            )
        step = "*" if count == 1 else f"*/{count}"
        if whole == _UNITS["minute"]:
            minute, hours = step, "*"
        else:
            minute, hours = self._minute_of_hour(), step
        days = self._days() if self._take("on") else "*"
        return self._whole(f"{minute} {hours} * * {days}")

    # ------------------------------------------------------------------------------------- parts

    def _count(self) -> int:
        word = self._peek()
        if word in _UNITS:
            return 1
        self._at += 1
        if word in _WORD_NUMBERS:
            return _WORD_NUMBERS[word]
        if not word.isascii() or not word.isdecimal() or len(word) > 4:  # noqa: PLR2004 - no more digits
            self._refuse(f"holds {word!r}, which is not understood here")
        return int(word)

    def _minute_of_hour(self) -> str:
        if not self._take("at"):
            return "0"
        if not self._take("minute") and self._peek()[:1] != ":":
            self._refuse("needs `at minute 15` or `at :15` to say which minute of the hour")
        word = self._next().removeprefix(":")
        if not word.isascii() or not word.isdecimal() or not 0 <= int(word) < 60:  # noqa: PLR2004
            self._refuse(f"holds {word!r}, which is no minute of an hour")
        return str(int(word))

    def _days(self) -> str:
        word = self._peek()
        if word in _SETS_OF_DAYS:
            self._at += 1
            return _SETS_OF_DAYS[word]
        return ",".join(str(day) for day in sorted(set(self._several(self._day))))

    def _day(self) -> int:
        word = self._next()
        if word not in _DAY_NUMBERS:
            self._refuse(f"holds {word!r}, which is no day of the week")
        return _DAY_NUMBERS[word]

    def _month(self) -> str:
        word = self._next()
        if word not in _MONTH_NUMBERS:
            self._refuse(f"holds {word!r}, which is no month")
        return str(_MONTH_NUMBERS[word])

    def _dates(self, highest: int) -> str:
        self._take("the")
        if self._take("last"):
            self._expect("day")
            return "L"
        return ",".join(
            str(date) for date in sorted(set(self._several(lambda: self._date(highest))))
        )

    def _date(self, highest: int) -> int:
        self._take("the")
        word = self._next()
        found = _ORDINAL.match(word) if word.isascii() else None
        if word == "first":
            return 1
        if found is None or not 0 < int(found[1]) <= highest:
            self._refuse(f"holds {word!r}, which is no day of that month")
        return int(found[1])

    def _times(self) -> tuple[str, str]:
        """Return hours and minute; midnight if nothing is said."""
        if not self._take("at"):
            return "0", "0"
        times = sorted(set(self._several(self._time)))
        if len({minute for _, minute in times}) > 1:
            self._refuse("names times at different minutes, which takes two schedules")
        return ",".join(str(hour) for hour, _ in times), str(times[0][1])

    def _time(self) -> tuple[int, int]:
        word = self._next()
        if word in {"midnight", "noon"}:
            return (0 if word == "midnight" else 12), 0
        found = _TIME.match(word) if word.isascii() else None
        if found is None or (found[2] is None and found[3] is None):
            self._refuse(f"holds {word!r}, which is no time such as 9am, 2:30pm or 14:30")
        hour, minute = int(found[1]), int(found[2] or 0)
        if found[3] is not None:
            if not 1 <= hour <= 12:  # noqa: PLR2004 - a clock's face
                self._refuse(f"holds {word!r}, which is no time")
            hour = hour % 12 + (12 if found[3] == "pm" else 0)
        if hour > 23 or minute > 59:  # noqa: PLR2004
            self._refuse(f"holds {word!r}, which is no time")
        return hour, minute

    # ------------------------------------------------------------------------------------- words

    def _several(self, one: Callable[[], _T]) -> list[_T]:
        found = [one()]
        while self._peek() in {",", "and"}:
            self._take(",")
            self._take("and")
            found.append(one())
        return found

    def _peek(self) -> str:
        return self._words[self._at] if self._at < len(self._words) else ""

    def _next(self) -> str:
        word = self._peek()
        if not word:
            self._refuse("ends too early")
        self._at += 1
        return word

    def _take(self, word: str) -> bool:
        if self._peek() != word:
            return False
        self._at += 1
        return True

    def _expect(self, word: str) -> None:
        if not self._take(word):
            self._refuse(f"should go on with {word!r}")

    def _whole(self, cron: str) -> str:
        if self._peek():
            self._refuse(f"holds {self._peek()!r}, which is not understood there")
        return cron

    def _refuse(self, why: str) -> NoReturn:
        raise ValueError(f"{self._phrase[:60]!r} {why}; {HINT}")
