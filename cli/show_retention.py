"""`cronledger retention`: how long output is kept, and what is due to go."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from agent.client import Client
from cli.connection import print_json, with_server
from cli.table import table

_HEAD = ("EXECUTIONS", "KEPT FOR", "UP TO", "KEPT", "BYTES")
_DUE = ("WOULD GO", "BYTES")
_NAMES = {"success": "succeeded", "failure": "all others"}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "--dry-run", action="store_true", help="say what would go if the server looked now"
    )
    parser.add_argument("--json", action="store_true", help="print the server's JSON")


def run(args: argparse.Namespace) -> int:
    """Print what the server's settings say, and what they lead to."""
    return with_server(lambda client: _show(client, args))


def _show(client: Client, args: argparse.Namespace) -> int:
    answer = client.get("/v1/retention")
    if args.json:
        print_json(answer)
        return 0
    shown = answer.json()
    head = _HEAD + (_DUE if args.dry_run else ())
    rows = [_row(label, shown[name], due=args.dry_run) for name, label in _NAMES.items()]
    print(table(head, rows, elastic=0))
    return 0


def _row(label: str, kept: Mapping[str, Any], *, due: bool) -> tuple[str, ...]:
    days, most = kept["days"], kept["bytes_max"]
    row = (
        label,
        "ever" if days is None else f"{days:g} days",
        "any size" if most is None else f"{most} bytes",
        str(kept["kept_executions"]),
        str(kept["kept_bytes"]),
    )
    return row + ((str(kept["due_executions"]), str(kept["due_bytes"])) if due else ())
