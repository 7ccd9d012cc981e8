"""`cronledger stats`: how much ended how, and how long it took."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from agent.client import Client
from cli.connection import EXECUTIONS, print_json, with_server
from cli.table import cell, duration_cell, table, terminal_width, time_cell

_HEAD = (
    *("JOB", "FROM (UTC)", "ENDED", "FAILED", "TIMEOUT", "CANCELED", "SUCCESS"),
    *("P50", "P95", "MAX", "LAST SUCCESS (UTC)", "LAST FAILURE (UTC)"),
)
_JOB_COLUMN = 0
_FROM_COLUMN = 1


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add = parser.add_argument
    add("--job-id", metavar="ID", action="append", help="of this job (may be repeated)")
    add("--from", dest="from_time", metavar="TIME", help="created from then on, ISO 8601")
    add("--to", dest="to_time", metavar="TIME", help="created before, ISO 8601")
    add(
        "--interval",
        choices=("hour", "day", "all"),
        help="by hour or day (UTC), or all (the default without --from and --to)",
    )
    add(
        "--group-by",
        choices=("job", "all"),
        default="job",
        help="each job by itself (the default), or all of them together",
    )
    add("--json", action="store_true", help="print the server's JSON")


def run(args: argparse.Namespace) -> int:
    """Print the statistics."""
    return with_server(lambda client: _statistics(client, args))


def _statistics(client: Client, args: argparse.Namespace) -> int:
    single = (
        ("from", args.from_time),
        ("to", args.to_time),
        ("interval", args.interval),
        ("group_by", args.group_by),
    )
    query = [("job_id", job_id) for job_id in args.job_id or ()]
    query += [(name, value) for name, value in single if value is not None]
    answer = client.get(f"{EXECUTIONS}/stats", query)
    if args.json:
        print_json(answer)
        return 0
    rows = [_row(summary) for summary in answer.json()["data"]]
    if not rows:
        print("nothing has ended")
        return 0
    # Of all time there are no beginnings to show.
    hidden = set() if any(row[_FROM_COLUMN] != "-" for row in rows) else {_FROM_COLUMN}
    shown = [[text for n, text in enumerate(row) if n not in hidden] for row in (_HEAD, *rows)]
    print(table(shown[0], shown[1:], elastic=_JOB_COLUMN, width=terminal_width()))
    return 0


def _row(summary: Mapping[str, Any]) -> tuple[str, ...]:
    counts, rate, took = summary["by_status"], summary["success_rate"], summary["duration_ms"]
    return (
        cell(summary["job_id"] or "(all)"),
        time_cell(summary["starts_at"])[:16],
        cell(summary["ended"]),
        *(cell(counts[status]) for status in ("failed", "timeout", "canceled")),
        # Rounded down: what is not without failure must not look so.
        "-" if rate is None else f"{int(rate * 1000) / 10:.1f} %",
        *(_took(took[name]) for name in ("p50", "p95", "max")),
        time_cell(summary["last_success_at"]),
        time_cell(summary["last_failure_at"]),
    )


def _took(milliseconds: float | None) -> str:
    return "-" if milliseconds is None else duration_cell(milliseconds)
