"""`cronledger logs`: an execution's output, byte for byte, or as a terminal may show it."""

from __future__ import annotations

import argparse
import sys

from agent.client import Client
from cli.arguments import at_least
from cli.connection import execution_path, with_server
from domain.shown_text import shown


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("id", metavar="ID", help="the execution")
    parser.add_argument(
        "--stream",
        choices=("stdout", "stderr"),
        default="stdout",
        help="which output (default: %(default)s)",
    )
    parser.add_argument("--tail", metavar="N", type=at_least(0), help="only the last N lines")
    parser.add_argument(
        "--raw",
        action="store_true",
        help="byte for byte on a terminal too, where output may move the cursor, set titles, …",
    )


def run(args: argparse.Namespace) -> int:
    """Write the output to standard output."""
    return with_server(lambda client: _write(client, args))


def _write(client: Client, args: argparse.Namespace) -> int:
    query = [("stream", args.stream)]
    if args.tail is not None:
        query.append(("tail", str(args.tail)))
    output = client.get(execution_path(args.id, "/logs"), query).body
    if sys.stdout.isatty() and not args.raw:
        sys.stdout.write(shown(output))
    else:
        sys.stdout.buffer.write(output)
    sys.stdout.flush()
    return 0
