"""`cronledger logs`: an execution's output, byte for byte, at once or as it is written."""

from __future__ import annotations

import argparse

from agent.client import Client
from cli import follow_logs, raw_output
from cli.arguments import at_least
from cli.connection import execution_path, with_server
from cli.usage import UsageError


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("id", metavar="ID", help="the execution")
    parser.add_argument(
        "--stream",
        choices=("stdout", "stderr"),
        help="which output (default: stdout; with --follow both, each to its own)",
    )
    parser.add_argument("--tail", metavar="N", type=at_least(0), help="only the last N lines")
    parser.add_argument(
        "-f", "--follow", action="store_true", help="go on until the execution has ended"
    )


def run(args: argparse.Namespace) -> int:
    """Write the bytes to standard output; with --follow those of stderr to standard error."""
    if args.follow and args.tail is not None:
        raise UsageError("--tail cannot be given together with --follow")
    return with_server(lambda client: _write(client, args))


def _write(client: Client, args: argparse.Namespace) -> int:
    if args.follow:
        streams = [] if args.stream is None else [args.stream]
        return follow_logs.follow(client, args.id, streams)
    query = [("stream", args.stream or "stdout")]
    if args.tail is not None:
        query.append(("tail", str(args.tail)))
    raw_output.write("stdout", client.get(execution_path(args.id, "/logs"), query).body)
    return 0
