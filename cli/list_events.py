"""`cronledger events`: events as they were recorded, of one execution or job, or of all."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from typing import Any

from agent.client import Client
from cli.arguments import at_least
from cli.connection import history_path, print_json, with_server
from cli.follow_logs import resumed
from cli.table import cell, table, terminal_width, time_cell
from cli.usage import UsageError

_HEAD = ("POSITION", "VERSION", "TYPE", "RECORDED (UTC)", "ACTOR", "DATA")
_LEDGER_HEAD = ("POSITION", "RECORDED (UTC)", "TYPE", "OF", "ACTOR", "DATA")
_DATA_COLUMN = 5
_LEDGER = "/v1/events"
_LIMIT = 50
_PAGE = 1000
_BACK_MAX = 100_000
_LONGER = 8


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add = parser.add_argument
    add("id", metavar="ID", nargs="?", help="only of this execution, or job")
    add("--follow", "-f", action="store_true", help="print events of the ledger as they come")
    add(
        "--after",
        metavar="N",
        type=at_least(0),
        help="begin after position N (default: show the last ones, follow the next ones)",
    )
    add("--limit", metavar="N", type=at_least(1), help=f"at most N events (default {_LIMIT})")
    add("--type", metavar="TYPE", action="append", help="of this type, such as completed")
    add("--job", metavar="ID", action="append", help="of this job, its executions and due times")
    add("--json", action="store_true", help="print JSON (with --follow one event a line)")


def run(args: argparse.Namespace) -> int:
    """Print the events."""
    of_ledger = args.follow or args.after is not None or args.limit or args.type or args.job
    if args.id is not None and of_ledger:
        raise UsageError("--follow, --after, --limit, --type and --job are for the whole ledger")
    if args.follow and args.limit:
        raise UsageError("--follow has no end: leave --limit out")
    work = _of_one if args.id is not None else _follow if args.follow else _of_ledger
    return with_server(lambda client: work(client, args))


def _of_one(client: Client, args: argparse.Namespace) -> int:
    answer = client.get(history_path(args.id))
    if args.json:
        print_json(answer)
    else:
        rows = [_row(event) for event in answer.json()["data"]]
        print(table(_HEAD, rows, elastic=_DATA_COLUMN, width=terminal_width()))
    return 0


def _of_ledger(client: Client, args: argparse.Namespace) -> int:
    limit = args.limit or _LIMIT
    if args.after is None:
        page = _last(client, _filters(args), limit)
    else:
        page = _gathered(client, _filters(args), args.after, limit)
    if args.json:
        print(json.dumps(page, ensure_ascii=False))
        return 0
    rows = [_ledger_row(event) for event in page["data"]]
    if rows:
        print(table(_LEDGER_HEAD, rows, elastic=_DATA_COLUMN, width=terminal_width()))
    pagination = page["pagination"]
    looked = f"looked at positions {pagination['after'] + 1} to {pagination['next_after']}"
    more = f"; go on with --after {pagination['next_after']}" if pagination["has_more"] else ""
    if args.after is None and _filters(args) and pagination["after"] and len(rows) < limit:
        more = "; --after 0 begins with the first"
    print(f"{chr(10) if rows else ''}{len(rows)} events, {looked} of {pagination['head']}{more}")
    return 0


def _last(client: Client, filters: list[tuple[str, str]], limit: int) -> dict[str, Any]:
    """Return the last `limit` events as one page.

    What the filters leave may lie far back: ever longer stretches are looked through, to an end.
    """
    last = upto = head(client)
    found: list[Any] = []
    length = limit
    while True:
        after = max(0, upto - length, last - _BACK_MAX)
        found = _between(client, filters, after, upto) + found
        if len(found) > limit:
            found = found[-limit:]
            after = found[0]["position"] - 1
        if not filters or len(found) >= limit or after in {0, last - _BACK_MAX}:
            place = {"after": after, "limit": limit, "next_after": last}
            return {"data": found, "pagination": {**place, "has_more": False, "head": last}}
        upto, length = after, _LONGER * length


def _between(client: Client, filters: list[tuple[str, str]], after: int, upto: int) -> list[Any]:
    found: list[Any] = []
    while after < upto:
        size = min(_PAGE, upto - after)
        page = client.get(_LEDGER, [("after", str(after)), ("limit", str(size)), *filters]).json()
        found += [event for event in page["data"] if event["position"] <= upto]
        after = page["pagination"]["next_after"]
    return found


def _gathered(
    client: Client, filters: list[tuple[str, str]], after: int, limit: int
) -> dict[str, Any]:
    """Return up to `limit` events as one page: with filters, the server's may be short."""
    found: list[Any] = []
    at = after
    while True:
        size = min(_PAGE, limit - len(found))
        page = client.get(_LEDGER, [("after", str(at)), ("limit", str(size)), *filters]).json()
        found += page["data"]
        at = page["pagination"]["next_after"]
        if len(found) >= limit or not page["pagination"]["has_more"]:
            return {"data": found, "pagination": {**page["pagination"], "after": after}}


def _follow(client: Client, args: argparse.Namespace) -> int:
    after = head(client) if args.after is None else args.after
    query = [("follow", "true"), ("after", str(after)), *_filters(args)]
    for event in resumed(client, _LEDGER, query):
        if event.name != "recorded":
            continue
        if args.json:
            print(json.dumps(event.data, ensure_ascii=False), flush=True)
        else:
            print("  ".join(_ledger_row(event.data)), flush=True)
    return 0


def head(client: Client) -> int:
    """Return the last position of the ledger."""
    return int(client.get(_LEDGER, [("limit", "1")]).json()["pagination"]["head"])


def _filters(args: argparse.Namespace) -> list[tuple[str, str]]:
    types = [name if "." in name else f"execution.{name}" for name in args.type or ()]
    query = [("type", name) for name in types]
    return query + [("job_id", job) for job in args.job or ()]


def _row(event: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        cell(event["position"]),
        cell(event["version"]),
        cell(event["type"]),
        time_cell(event["recorded_at"]),
        _compact(event.get("actor")),
        data_cell(event),
    )


def _ledger_row(event: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        cell(event["position"]),
        time_cell(event["recorded_at"]),
        cell(event["type"]),
        cell(event.get("execution_id") or event.get("job_id") or event.get("stream_id")),
        cell(event.get("actor")),
        data_cell(event),
    )


def data_cell(event: Mapping[str, Any]) -> str:
    """Return what an event says, on one line; one that cannot be read is marked."""
    unreadable = event.get("unreadable")
    mark = f"(unreadable: {cell(unreadable)}) " if unreadable else ""
    return mark + _compact(event.get("data"))


def _compact(value: object) -> str:
    if isinstance(value, (dict, list)):
        return cell(json.dumps(value, separators=(",", ":"), ensure_ascii=False))
    return cell(value)
