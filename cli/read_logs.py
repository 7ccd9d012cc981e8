"""`cronledger logs`: an execution's output, at once or as it is written."""

from __future__ import annotations

import argparse

from agent.client import ANSWER_SECONDS, Client
from cli import follow_logs
from cli.arguments import at_least
from cli.connection import PEOPLES_SECONDS, execution_path, with_server
from cli.output import Output
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
        "--raw",
        action="store_true",
        help="byte for byte on a terminal too, where output may move the cursor, set titles, …",
    )
    parser.add_argument(
        "-f", "--follow", action="store_true", help="go on until the execution has ended"
    )


def run(args: argparse.Namespace) -> int:
    """Write the output to standard output; with --follow that of stderr to standard error."""
    if args.follow and args.tail is not None:
        raise UsageError("--tail cannot be given together with --follow")
    # Followers hear from the server at least every 15 seconds.
    patience = ANSWER_SECONDS if args.follow else PEOPLES_SECONDS
    return with_server(lambda client: _write(client, args), answer_seconds=patience)


def _write(client: Client, args: argparse.Namespace) -> int:
    output = Output(raw=args.raw)
    if args.follow:
        streams = [] if args.stream is None else [args.stream]
        return follow_logs.follow(client, args.id, streams, output)
    query = [("stream", args.stream or "stdout")]
    if args.tail is not None:
        query.append(("tail", str(args.tail)))
    answer = client.get(execution_path(args.id, "/logs"), query)
    cut = answer.headers.get("Output-Omitted")
    first, beyond = map(int, cut.split("-")) if cut and args.tail is None else (0, 0)
    output.write("stdout", answer.body[:first])
    if beyond:
        follow_logs.say_omitted(args.stream or "stdout", beyond - first)
    output.write("stdout", answer.body[first:])
    output.close()
    return 0
