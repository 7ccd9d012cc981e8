"""`cronledger retries`: failed executions that are retried by themselves, and when."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from agent.client import Client
from cli.connection import print_json, with_server
from cli.table import cell, table, terminal_width, time_cell

_HEAD = ("RETRY AT (UTC)", "JOB", "ATTEMPT", "EXECUTION", "")
_JOB_COLUMN = 1


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("--json", action="store_true", help="print the server's JSON")


def run(args: argparse.Namespace) -> int:
    """Print what is planned."""
    return with_server(lambda client: _list(client, args))


def _list(client: Client, args: argparse.Namespace) -> int:
    answer = client.get("/v1/planned-retries")
    planned = answer.json()["data"]
    if args.json:
        print_json(answer)
    elif planned:
        rows = [_row(one) for one in planned]
        print(table(_HEAD, rows, elastic=_JOB_COLUMN, width=terminal_width()))
    else:
        print("no retry is planned")
    return 0


def _row(planned: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        time_cell(planned["retry_at"]),
        cell(planned["job_id"]),
        cell(planned["attempt"]),
        cell(planned["execution_id"]),
        "waits for the budget" if planned["is_late"] else "",
    )
