"""`cronledger cancel`: cancels an execution that is pending or running."""

from __future__ import annotations

import argparse

from agent.client import Client
from cli.connection import execution_path, print_json, with_server
from cli.table import cell


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("id", metavar="ID", help="the execution")
    parser.add_argument("--json", action="store_true", help="print the server's JSON")


def run(args: argparse.Namespace) -> int:
    """Ask for the cancel and print what has come of it so far."""
    return with_server(lambda client: _cancel(client, args))


def _cancel(client: Client, args: argparse.Namespace) -> int:
    answer = client.post(execution_path(args.id, "/cancel"))
    if args.json:
        print_json(answer)
        return 0
    execution = answer.json()
    if execution["status"] == "running":
        print(f"{cell(execution['id'])}  cancel requested: its agent ends the command")
    else:
        print(f"{cell(execution['id'])}  {cell(execution['status'])}")
    return 0
