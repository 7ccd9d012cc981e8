"""`cronledger erase`: erases output, messages or a configuration of what has ended."""

from __future__ import annotations

import argparse

from agent.client import Client
from cli.connection import execution_path, print_json, with_server
from cli.table import cell

BODIES = ("output", "messages", "configuration")
REASONS = ("requested", "secret", "personal_data")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add = parser.add_argument
    add("ids", metavar="ID", nargs="+", help="the executions, which must have ended")
    add(
        "--body",
        choices=BODIES,
        action="append",
        dest="bodies",
        help="what to erase (may be repeated; default: output)",
    )
    add("--everything", action="store_true", help="erase output, messages and configuration")
    add("--reason", choices=REASONS, default="requested", help="why, in a word, for the record")
    add(
        "--shared",
        action="store_true",
        help="erase a configuration also if other executions have the same",
    )
    add("--json", action="store_true", help="print the server's JSON, a line each")


def run(args: argparse.Namespace) -> int:
    """Ask for the erasures, one after the other; the first that is refused ends it."""
    return with_server(lambda client: _erase(client, args))


def _erase(client: Client, args: argparse.Namespace) -> int:
    bodies = list(BODIES) if args.everything else args.bodies or ["output"]
    body = {"bodies": bodies, "reason": args.reason, "shared": args.shared}
    for one in args.ids:
        answer = client.post(execution_path(one, "/erase"), body)
        if args.json:
            print_json(answer)
        else:
            print(f"{cell(answer.json()['id'])}  erased: {', '.join(bodies)}")
    return 0
