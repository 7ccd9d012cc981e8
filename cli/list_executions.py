"""`cronledger list`: executions, newest first."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from agent.client import Client
from cli.connection import EXECUTIONS, print_json, with_server
from cli.table import cell, duration_cell, table, terminal_width, time_cell

STATUSES = ("pending", "running", "success", "failed", "timeout", "canceled")
TRIGGERS = ("scheduled", "manual", "retry")
_HEAD = ("ID", "JOB", "STATUS", "EXIT", "CREATED (UTC)", "DURATION", "TRIGGER", "AGENT")
_JOB_COLUMN = 1


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the filters of the list."""
    add = parser.add_argument
    add("--job-id", metavar="ID", action="append", help="of this job (may be repeated)")
    add("--status", choices=STATUSES, action="append", help="in this status (may be repeated)")
    add(
        "--triggered-by",
        choices=TRIGGERS,
        action="append",
        help="started this way (may be repeated)",
    )
    add("--from", dest="from_time", metavar="TIME", help="created at or after, ISO 8601")
    add("--to", dest="to_time", metavar="TIME", help="created before, ISO 8601")
    add("--limit", metavar="N", type=int, help="at most N executions (default 50, at most 100)")
    add("--offset", metavar="N", type=int, help="leave out the first N")
    add("--cursor", metavar="CURSOR", help="go on where the answer before said next_cursor")
    add("--as-of", metavar="WHEN", help="as it stood at this position, or time in ISO 8601")
    add("--json", action="store_true", help="print the server's JSON")


def run(args: argparse.Namespace) -> int:
    """Print one page."""
    return with_server(lambda client: _list(client, args))


def _list(client: Client, args: argparse.Namespace) -> int:
    answer = client.get(EXECUTIONS, _query(args))
    if args.json:
        print_json(answer)
        return 0
    page = answer.json()
    rows = [_row(execution) for execution in page["data"]]
    pagination = page["pagination"]
    if not rows:
        is_none = pagination["total_is_exact"] and pagination["total"] == 0
        where = "" if is_none else " on this page"
        print(f"no executions match{where}{_more(pagination)}")
        return 0
    print(table(_HEAD, rows, elastic=_JOB_COLUMN, width=terminal_width()))
    total = _total(pagination, len(rows))
    print(f"\n{len(rows)} of {total}{_more(pagination)}{_past(page.get('as_of'))}")
    return 0


def _total(pagination: Mapping[str, Any], shown: int) -> str:
    if pagination["total_is_exact"]:
        return str(pagination["total"])
    # Of the past fewer may have been counted than a page further back shows.
    return f"at least {max(pagination['total'], shown)}"


def _query(args: argparse.Namespace) -> list[tuple[str, str]]:
    repeated = (
        ("job_id", args.job_id),
        ("status", args.status),
        ("triggered_by", args.triggered_by),
    )
    single = (
        ("from", args.from_time),
        ("to", args.to_time),
        ("limit", args.limit),
        ("offset", args.offset),
        ("cursor", args.cursor),
        ("as_of", args.as_of),
    )
    query = [(name, value) for name, values in repeated for value in values or ()]
    return query + [(name, str(value)) for name, value in single if value is not None]


def _row(execution: Mapping[str, Any]) -> tuple[str, ...]:
    started = execution["started_at"] is not None
    return (
        cell(execution["id"]),
        cell(execution["job_name"]),
        _status(execution),
        cell(execution["exit_code"]),
        time_cell(execution.get("created_at")),
        duration_cell(execution["duration_ms"]) if started else "-",
        cell(execution["triggered_by"]),
        cell(execution.get("agent_id")),
    )


def _status(execution: Mapping[str, Any]) -> str:
    """Return the status; of what is pending and no agent may have yet, also why."""
    held = execution.get("held")
    return f"{cell(execution['status'])} ({cell(held)})" if held else cell(execution["status"])


def _past(as_of: Mapping[str, Any] | None) -> str:
    if as_of is None:
        return ""
    left_out = len(as_of["unreadable"])
    more = f"; {left_out} cannot be read and are left out" if left_out else ""
    when = f"{time_cell(as_of['recorded_at'])} UTC"
    return f"; as of position {as_of['position']}, {when}{more}"


def _more(pagination: Mapping[str, Any]) -> str:
    cursor = pagination.get("next_cursor")
    return f"; the next page: --cursor {cell(cursor)}" if cursor else ""
