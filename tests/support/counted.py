"""Totals and statistics once more, counted plainly from rows of executions."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import Any, Final

Row = dict[str, Any]

STATISTICS: Final = {
    "statistics_hours_1": "%Y-%m-%d %H",
    "statistics_days_1": "%Y-%m-%d",
    "statistics_ever_1": "",
}


def wrong(executions: list[Row], read: Callable[[str], list[Row]]) -> Iterator[str]:
    """Where what was counted ahead is not what the executions are; `read` asks the database."""
    yield from wrong_totals(executions, read("TABLE read.totals_1"))
    for table in STATISTICS:
        yield from wrong_statistics(table, executions, read(f"TABLE read.{table}"))


def wrong_totals(executions: Iterable[Row], rows: Iterable[Row]) -> Iterator[str]:
    """Where the totals are not the counts of the executions."""
    expected: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for one in executions:
        for job_id in ("", one["job_id"]):
            expected[job_id][f"{one['status']}_{one['triggered_by']}"] += 1
    found = {row.pop("job_id"): {name: n for name, n in row.items() if n} for row in rows}
    for job_id in expected.keys() | found.keys():
        if expected.get(job_id) != found.get(job_id):
            yield f"totals of job {job_id!r}: {found.get(job_id)}, not {expected.get(job_id)}"


def wrong_statistics(table: str, executions: Iterable[Row], rows: Iterable[Row]) -> Iterator[str]:
    """Where the statistics are not those of the executions that have ended."""
    interval = STATISTICS[table]
    ended: defaultdict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for one in executions:
        if one["completed_at"] is not None:
            created = datetime.fromtimestamp((one["id"].int >> 80) / 1000, UTC)
            of_class = duration_class(one["duration_ms"] or 0) if one["started_at"] else -1
            for job_id in ("", one["job_id"]):
                place = created.strftime(interval), job_id, one["status"], of_class
                ended[place].append(one)
    expected = {
        place: (
            len(ones),
            max(one["duration_ms"] or 0 for one in ones),
            max(one["completed_at"] for one in ones),
        )
        for place, ones in ended.items()
    }
    found = {
        (
            row["starts_at"].strftime(interval) if "starts_at" in row else "",
            *(row["job_id"], row["status"], row["duration_class"]),
        ): (row["count"], row["duration_max_ms"], row["last_at"])
        for row in rows
    }
    for place in expected.keys() | found.keys():
        if expected.get(place) != found.get(place):
            yield f"{table} of {place}: {found.get(place)}, not {expected.get(place)}"


def duration_class(milliseconds: int) -> int:
    """The class, found by walking up: four to each doubling, from 4 ms on; one each below."""
    if milliseconds < 4:
        return milliseconds
    number, lowest, width = 4, 4, 1
    while milliseconds >= lowest + width:
        number, lowest = number + 1, lowest + width
        if number % 4 == 0:
            width *= 2
    return number
