"""Rules of how the pages say things: durations, colours, charts, tails of output, ways back."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.pages import charts, coloured, directory, door, logs, trail, words
from api.pages.coloured import Coloured
from api.pages.directory import Known
from api.pages.shared import Shared
from domain import ids
from projections.queries import AuditEntry
from projections.runs import Run

NOW = datetime(2026, 11, 25, 3, 0, tzinfo=UTC)


def html(data: bytes) -> str:
    subject = Coloured()
    return subject.feed(data) + subject.flush()


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"a < b & c", "a &lt; b &amp; c"),
        (b"\x1b[31mred\x1b[0m plain", '<span class="f1">red</span> plain'),
        (b"\x1b[1;4;92mx", '<span class="b u f10">x</span>'),
        (b"\x1b[1mx\x1b[22my", '<span class="b">x</span>y'),
        (b"\x1b[38;5;9mx\x1b[39my", '<span class="f9">x</span>y'),
        (b"\x1b[38;5;196mx", '<span class="f9">x</span>'),
        (b"\x1b[38;5;232mx", '<span class="f0">x</span>'),
        (b"\x1b[38;2;0;0;230mx", '<span class="f4">x</span>'),
        (b"\x1b[48;2;255;255;255mx\x1b[49my", '<span class="g15">x</span>y'),
        (b"\x1b[38:5:2mx", '<span class="f2">x</span>'),
        (b"\x1b[58;5;1mx", "x"),
        (b"\x1b[38;5;999mx", "x"),
        (b"\x1b[m\x1b[99;5mx", "x"),
        (b"\x1b[2J\x1b]8;;http://e\x07", "\u241b[2J\u241b]8;;http://e\u2407"),
        (b"\xff", "\ufffd"),
    ],
)
def test_colours_become_class_names_and_nothing_else_acts(data: bytes, expected: str) -> None:
    """Markup is text; a colour is one of sixteen; other sequences are seen."""
    assert html(data) == expected


@given(st.binary(max_size=60), st.integers(0, 60))
def test_output_in_pieces_is_safe_as_a_whole(data: bytes, cut: int) -> None:
    """Wherever a piece ends: no tag but ours, no control character."""
    subject = Coloured()
    shown = subject.feed(data[:cut]) + subject.feed(data[cut:]) + subject.flush()
    inside = shown.replace("</span>", "").replace('<span class="', "").replace('">', "")
    assert "<" not in inside
    assert not any(ord(character) < 32 and character not in "\n\t" for character in shown)


def test_every_colour_has_its_rule() -> None:
    """The style sheet names each class that output can get."""
    sheet = (coloured.__file__ or "").replace("coloured.py", "static/page.css")
    with open(sheet) as file:  # noqa: PTH123 - only to be read
        text = file.read()
    names = {f"{kind}{number}" for kind in "fg" for number in range(16)} | set("bdirsu")
    assert [name for name in sorted(names) if f".{name} {{" not in text] == []


@pytest.mark.parametrize(
    ("milliseconds", "expected"),
    [
        *((None, ""), (0, "0 ms"), (999, "999 ms"), (1000, "1.0 s"), (59_949, "59.9 s")),
        *((59_960, "1 min"), (61_000, "1 min 01 s"), (3_600_000, "1 h"), (5_400_000, "1 h 30 min")),
        (200 * 3_600_000, "8 d 8 h"),
    ],
)
def test_durations_are_said_as_people_say_them(milliseconds: int | None, expected: str) -> None:
    """Never more than two units, and none that is nothing."""
    assert words.duration(milliseconds) == expected


def test_a_moment_is_told_by_its_distance() -> None:
    """Before now or after it."""
    assert words.ago(NOW - timedelta(minutes=3, seconds=50), NOW) == "3 min ago"
    assert words.ago(NOW + timedelta(hours=2), NOW) == "in 2 h"
    assert words.ago(NOW, NOW) == "now"


def test_the_tail_of_output_begins_with_a_line_and_is_bounded() -> None:
    """Of a part the first, broken line is left out; no more lines than a browser draws at once."""
    assert logs.shown_tail(b"oken\nwhole\n", is_whole=False) == ("whole\n", 5)
    assert logs.shown_tail(b"a\nb", is_whole=True) == ("a\nb", 0)
    assert logs.shown_tail(b"no end of a line", is_whole=False) == ("no end of a line", 0)
    many = b"".join(b"%d\n" % number for number in range(100_000))
    shown, skipped = logs.shown_tail(many, is_whole=True)
    assert shown.splitlines()[0] == str(100_000 - logs.SHOWN_LINES)
    assert many[skipped:].decode() == shown


@pytest.mark.parametrize(
    "path", ["/", "/jobs?q=a%20b&offset=50", "/executions/exec_1", "/?q=%2F%2F"]
)
def test_the_way_back_leads_to_pages(path: str) -> None:
    """What is one of ours stays as it is."""
    assert door.local(path) == path


@given(st.text(max_size=30))
def test_the_way_back_stays_here(path: str) -> None:
    """Whatever is given, it begins with one slash, and holds nothing that ends a header."""
    found = door.local(path)
    assert found.startswith("/")
    assert not found.startswith(("//", "/\\"))
    assert found.isascii()
    assert found.isprintable()


def run(number: int, status: str = "success", seconds: float = 60, job: str = "j") -> Run:
    started = NOW - timedelta(hours=number)
    ended = status not in {"running", "pending"}
    return Run(
        id=UUID(int=ids.lowest_at(started).int + number),
        job_id=job,
        status=status,
        started_at=started,
        completed_at=started + timedelta(seconds=seconds) if ended else None,
        duration_ms=round(seconds * 1000) if ended else None,
        failure_reason="exit_code" if status == "failed" else None,
        exit_code={"success": 0, "failed": 3}.get(status),
    )


def test_a_strip_shows_the_last_runs_at_the_right_and_says_them() -> None:
    """What went wrong stands taller, so that it is seen without colour."""
    strip = charts.strip([run(3), run(2, "failed"), run(1)])
    assert [cell.status for cell in strip.cells] == ["success", "failed", "success"]
    assert strip.cells[1].height > strip.cells[0].height
    assert strip.cells[-1].x + 9 == strip.width
    assert strip.text == "Last 3 runs: 2 success, 1 failed"
    assert "exit code 3" in strip.cells[1].text
    assert charts.strip([]).text == "No runs"


def test_a_rate_counts_what_ended_by_itself() -> None:
    """Cancelled and running ones say nothing; it is never rounded up to 100."""
    assert charts.success_rate([run(1), run(2, "failed"), run(3, "canceled")]) == 50
    assert charts.success_rate([run(1, "running")]) is None
    assert charts.success_rate([run(n) for n in range(299)] + [run(300, "timeout")]) == 99


def test_a_line_of_durations_stays_in_its_frame() -> None:
    """From left to right; with fewer than two there is none."""
    line = charts.spark([run(3, seconds=10), run(2, seconds=0), run(1, seconds=30)])
    assert line is not None
    points = [tuple(map(float, point.split(","))) for point in line.points.split()]
    assert points == sorted(points)
    assert all(0 <= x <= line.width and 0 <= y <= line.height for x, y in points)
    assert charts.spark([run(1)]) is None


@given(st.lists(st.integers(0, 40), max_size=20), st.integers(1, 30))
def test_a_timeline_stays_between_its_ends(starts: list[int], hours: int) -> None:
    """Also what began before, or still runs."""
    runs = [run(start, "running" if start % 3 else "failed", 9000) for start in starts]
    begin = NOW - timedelta(hours=hours)
    (lane,) = charts.lanes([("j", "j", runs)], begin, NOW)
    for bar in lane.bars:
        assert bar.x >= charts.LANE_LABEL
        assert bar.width > 0
        assert bar.x + bar.width <= charts.LANE_WIDTH + 3
    assert all(
        charts.LANE_LABEL <= tick.x <= charts.LANE_WIDTH for tick in charts.ticks(begin, NOW)
    )
    assert len(charts.ticks(begin, NOW)) <= 24


def test_jobs_are_found_by_any_part_of_their_name() -> None:
    """In any case; and the one that is called exactly so, even if nobody knows it."""
    jobs = [Known("job_a", "Nightly Backup", None), Known("job_b", None, None)]
    assert directory.matching(jobs, "BACK")[1:] == ("job_a",)
    assert directory.matching(jobs, "job_b")[1:] == ("job_b",)
    assert directory.matching(jobs, "new") == (ids.derived_job_id("new"),)


def entry(version: int, event_type: str, payload: bytes) -> AuditEntry:
    return AuditEntry(
        *(version, version, event_type, 1, NOW, NOW, "agent:tok_1"),
        *(UUID(int=version), UUID(int=9), payload, b""),
    )


def test_an_event_that_cannot_be_read_is_said_to_be_so_and_leaves_the_state() -> None:
    """As in the audit trail for programs; even one that is nested too deeply to be read."""
    created = (
        b'{"type":"execution.created","job_id":"j","configuration":{"bytes":1,"sha256":""},'
        b'"triggered_by":"manual","timeout_seconds":null,"attempt":1,'
        b'"root_id":"00000000-0000-0000-0000-000000000009"}'
    )
    started = b'{"type":"execution.started","agent_id":"a"}'
    good = [entry(1, "execution.created", created), entry(2, "execution.started", started)]
    assert [step.status for step in trail.steps(UUID(int=9), good)] == ["pending", "running"]
    deep = b'{"type":"execution.started","agent_id":' + b"[" * 100_000
    for odd in (b"{", deep):
        broken = [
            good[0],
            entry(2, "execution.started", odd),
            entry(3, "execution.started", started),
        ]
        steps = trail.steps(UUID(int=9), broken)
        assert [step.status for step in steps] == ["pending", "pending", "running"]
        assert "cannot be read" in steps[1].text


@pytest.mark.parametrize(
    ("kind", "fields", "said"),
    [
        (
            "bodies_erased",
            '"reason":"personal_data","output":true',
            "Erased (personal data): output",
        ),
        ("not_started", "", "No agent took it before its start deadline"),
        ("released", "", "Its wait is over: agents may take it"),
    ],
)
def test_each_kind_of_event_is_said_in_words(kind: str, fields: str, said: str) -> None:
    """Not by the name that programs know it by."""
    payload = f'{{"type":"execution.{kind}"{"," if fields else ""}{fields}}}'.encode()
    (step,) = trail.steps(UUID(int=9), [entry(1, f"execution.{kind}", payload)])
    assert step.text == said


class Clock:
    """A clock that a test sets."""

    now = 0.0

    def __call__(self) -> float:
        """Return the time that was set."""
        return self.now


@pytest.mark.anyio
async def test_what_many_ask_for_at_once_is_made_once() -> None:
    """Until it is too old; what could not be made is tried again by the next who asks."""
    clock, made = Clock(), []

    async def make() -> int:
        made.append(1)
        await asyncio.sleep(0)
        if len(made) == 1:
            raise ValueError("the first time")
        return len(made)

    shared = Shared(clock)
    first: list[Any] = await asyncio.gather(
        *(shared.get("key", 5, make) for _ in range(200)), return_exceptions=True
    )
    assert {type(one) for one in first} == {ValueError}
    assert await asyncio.gather(*(shared.get("key", 5, make) for _ in range(200))) == [2] * 200
    clock.now = 4.9
    assert await shared.get("key", 5, make) == 2
    clock.now = 5.1
    assert await shared.get("key", 5, make) == 3
