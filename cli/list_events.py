"""`cronledger events`: the events of one execution, as they were recorded."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from typing import Any

from agent.client import Client
from cli.connection import execution_path, print_json, with_server
from cli.table import cell, table, terminal_width, time_cell

_HEAD = ("POSITION", "VERSION", "TYPE", "RECORDED (UTC)", "ACTOR", "DATA")
_DATA_COLUMN = 5


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("id", metavar="ID", help="the execution")
    parser.add_argument("--json", action="store_true", help="print the server's JSON")


def run(args: argparse.Namespace) -> int:
    """Print the events."""
    return with_server(lambda client: _events(client, args))


def _events(client: Client, args: argparse.Namespace) -> int:
    answer = client.get(execution_path(args.id, "/events"))
    if args.json:
        print_json(answer)
    else:
        rows = [_row(event) for event in answer.json()["data"]]
        print(table(_HEAD, rows, elastic=_DATA_COLUMN, width=terminal_width()))
    return 0


def _row(event: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        cell(event["position"]),
        cell(event["version"]),
        cell(event["type"]),
        time_cell(event["recorded_at"]),
        _compact(event.get("actor")),
        _compact(event.get("data")),
    )


def _compact(value: object) -> str:
    if isinstance(value, (dict, list)):
        return cell(json.dumps(value, separators=(",", ":"), ensure_ascii=False))
    return cell(value)
