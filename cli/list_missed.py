"""`cronledger missed`: jobs that should have run by now and did not, and times that passed."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from agent.client import Client
from cli import passed_times
from cli.connection import EXECUTIONS, JOBS, print_json, with_server
from cli.table import cell, table, terminal_width, time_cell
from cli.usage import REFUSED_EXIT

_HEAD = ("JOB", "SCHEDULE", "DUE (UTC)", "LAST EXECUTION", "STATUS", "CREATED (UTC)")
_JOB_COLUMN = 0


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "--times",
        action="store_true",
        help="list the due times of jobs on which nothing ran, and why, newest first",
    )
    parser.add_argument("--json", action="store_true", help="print the server's JSON")


def run(args: argparse.Namespace) -> int:
    """Print what did not run; the exit code is 1 if there is anything."""
    ask = _times if args.times else _missed
    return with_server(lambda client: ask(client, args))


def _times(client: Client, args: argparse.Namespace) -> int:
    answer = client.get(f"{JOBS}/skipped", [("limit", "100")])
    if args.json:
        print_json(answer)
    else:
        print(passed_times.listed(answer.json()) or "no due time passed without a run")
    return 0


def _missed(client: Client, args: argparse.Namespace) -> int:
    answer = client.get(f"{EXECUTIONS}/missed")
    missed = answer.json()["data"]
    if args.json:
        print_json(answer)
    elif missed:
        rows = [_row(one) for one in missed]
        print(table(_HEAD, rows, elastic=_JOB_COLUMN, width=terminal_width()))
    else:
        print("every job that is expected has run")
    return REFUSED_EXIT if missed else 0


def _row(missed: Mapping[str, Any]) -> tuple[str, ...]:
    schedule, last = missed["expected_schedule"], missed["last_execution"]
    zone = missed["expected_timezone"]
    return (
        cell(missed["job_name"]),
        cell(f"{schedule} {zone}" if zone else schedule),
        time_cell(missed["due_at"]),
        cell(last["id"]),
        cell(last["status"]),
        time_cell(last["created_at"]),
    )
