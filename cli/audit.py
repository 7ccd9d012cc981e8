"""`cronledger audit`: what happened to one execution or job, step by step, with the state after."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any, NamedTuple

from agent.client import Client
from cli.connection import history_path, with_server
from cli.list_events import data_cell, head
from cli.table import cell, table, terminal_width, time_cell
from cli.usage import REFUSED_EXIT, UsageError

_HEAD = (
    *("POSITION", "VERSION", "RECORDED (UTC)", "EVENT", "STATUS AFTER", "CHANGED"),
    *("ACTOR", "REQUEST", "DATA"),
)
_CHANGED_COLUMN = 5
# More attempts than anybody makes by hand.
_ATTEMPTS_MAX = 1000
# What a row says already, or what is null from the first event on.
_NOT_CHANGES = frozenset({"status", "version", "updated_at"})

Trail = Sequence[Mapping[str, Any]]


class Moment(NamedTuple):
    """As of when: a position, or a time."""

    position: int | None
    time: datetime | None

    def takes(self, event: Mapping[str, Any]) -> bool:
        """Tell whether an event was recorded by then."""
        if self.position is not None:
            return int(event["position"]) <= self.position
        return self.time is None or _parsed(event["recorded_at"]) <= self.time


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add = parser.add_argument
    add("id", metavar="ID", help="the execution, or the job")
    add(
        "--at",
        metavar="POSITION|TIME",
        help="as the ledger stood after this position, or at this time (ISO 8601, else UTC)",
    )
    add(
        "--lineage",
        action="store_true",
        help="with all that it was retried from, and all retries: the first attempt first",
    )
    add("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Print the steps."""
    moment = _moment(args.at)
    if args.lineage and not args.id.startswith("exec_"):
        raise UsageError("--lineage walks the retries of an execution; a job has none")
    return with_server(lambda client: _audit(client, args, moment))


def _audit(client: Client, args: argparse.Namespace, moment: Moment) -> int:
    if refusal := _refusal(client, moment):
        print(f"cronledger: --at {refusal}", file=sys.stderr)
        return REFUSED_EXIT
    asked = _trail(client, args.id)
    trails: dict[str, Trail] = {args.id: asked}
    if args.lineage:
        trails = dict(_lineage(client, args.id, asked))
    seen = {
        execution_id: kept
        for execution_id, trail in trails.items()
        if (kept := [event for event in trail if moment.takes(event)])
    }
    if args.json:
        _print_json(args, seen)
        return 0
    if not seen:
        print("nothing had been recorded by then")
    for number, (execution_id, trail) in enumerate(seen.items()):
        if args.lineage:
            _print_title(execution_id, trail, first=number == 0)
        print(table(_HEAD, _rows(trail), elastic=_CHANGED_COLUMN, width=terminal_width()))
        if args.at is not None:
            _print_state(trail[-1].get("state"))
    return 0


def _refusal(client: Client, moment: Moment) -> str | None:
    """Return what is wrong with a moment that has not come: nobody knows the state of then."""
    if moment.time is not None and moment.time > _now():
        return "lies in the future, of which nothing is recorded yet"
    if moment.position is not None and moment.position > (last := head(client)):
        return f"is beyond the last position, which is {last}"
    return None


def _now() -> datetime:
    return datetime.now(timezone.utc)  # noqa: UP017 - on Python 3.9 too


def _trail(client: Client, execution_id: str) -> list[dict[str, Any]]:
    data: list[dict[str, Any]] = client.get(history_path(execution_id)).json()["data"]
    return data


def _lineage(client: Client, asked_id: str, asked: Trail) -> Iterator[tuple[str, Trail]]:
    """Yield all attempts: the root, and after each execution what was retried from it."""
    root = str(asked[0]["correlation_id"])
    known = {asked_id: asked}
    waiting = [root]
    seen: set[str] = set()
    while waiting and len(seen) < _ATTEMPTS_MAX:
        current = waiting.pop(0)
        if current in seen:
            continue
        seen.add(current)
        trail = known.get(current) or _trail(client, current)
        yield current, trail
        waiting += [
            str(event["data"]["retried_as"])
            for event in trail
            if event["type"] == "execution.retried" and "retried_as" in event["data"]
        ]
    if asked_id not in seen:
        # An event that leads to it cannot be read: at least what was asked for.
        yield asked_id, asked


def _print_json(args: argparse.Namespace, trails: Mapping[str, Trail]) -> None:
    if args.lineage:
        said: Any = {"data": [{"id": one, "data": trail} for one, trail in trails.items()]}
    else:
        said = {"data": trails.get(args.id, [])}
    print(json.dumps(said, ensure_ascii=False))


def _print_title(execution_id: str, trail: Trail, *, first: bool) -> None:
    state = trail[-1].get("state") or {}
    attempt = f"attempt {cell(state.get('attempt'))}, {cell(state.get('status'))}"
    print(f"{'' if first else chr(10)}{cell(execution_id)}  {attempt}")


def _print_state(state: Mapping[str, Any] | None) -> None:
    """Print the whole state, a line for each member that has a value."""
    print("\nthe state then:" if state else "\nno state: its beginning cannot be read")
    facts = [(name, value) for name, value in _flat(state or {}) if value not in (None, [])]
    width = max((len(name) for name, _ in facts), default=0)
    for name, value in facts:
        print(f"  {name.ljust(width)}  {_shown(value)}")


def _rows(trail: Trail) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    before: Mapping[str, Any] = {}
    for event in trail:
        state = event.get("state") or {}
        rows.append(
            (
                cell(event["position"]),
                cell(event["version"]),
                time_cell(event["recorded_at"]),
                cell(str(event["type"]).partition(".")[2] or event["type"]),
                cell(state.get("status")),
                _changes(before, state),
                cell(event.get("actor")),
                cell(event.get("request_id")),
                data_cell(event),
            )
        )
        before = state
    return rows


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """Return which members of the state an event changed, and to what."""
    known = dict(_flat(before))
    changed = [
        f"{cell(name)}={_shown(value)}"
        for name, value in _flat(after)
        if name not in _NOT_CHANGES and value != known.get(name) and value not in (None, [])
    ]
    return " ".join(changed) or "-"


def _flat(state: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each member of a state; those of a plan one by one, such as `plan.cron`."""
    for name, value in state.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _shown(value: object) -> str:
    return cell(",".join(map(str, value)) if isinstance(value, list) else value)


def _moment(text: str | None) -> Moment:
    if text is None:
        return Moment(None, None)
    # A date without dashes is a position: positions are what this command shows.
    if text.isascii() and text.isdecimal():
        return Moment(int(text), None)
    try:
        return Moment(None, _parsed(text))
    except ValueError:
        raise UsageError(
            f"--at {text!r} is neither a position nor a time such as 2026-01-31T12:00:00Z"
        ) from None


def _parsed(text: str) -> datetime:
    """Return an ISO 8601 time; without an offset it is UTC (Python 3.9 knows no `Z`)."""
    moment = datetime.fromisoformat(text[:-1] + "+00:00" if text[-1:] in "Zz" else text)
    if moment.tzinfo is None:
        return moment.replace(tzinfo=timezone.utc)  # noqa: UP017 - on Python 3.9 too
    return moment
