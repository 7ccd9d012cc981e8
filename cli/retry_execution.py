"""`cronledger retry`: runs a failed or timed-out execution again, as a new one."""

from __future__ import annotations

import argparse
import os

from agent.client import Client
from cli.connection import execution_path, print_json, with_server
from cli.table import cell


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("id", metavar="ID", help="the execution that failed or timed out")
    parser.add_argument("--json", action="store_true", help="print the server's JSON")


def run(args: argparse.Namespace) -> int:
    """Ask for the retry and print the new execution's id."""
    return with_server(lambda client: _retry(client, args))


def _retry(client: Client, args: argparse.Namespace) -> int:
    # With a key of its own the request may be sent again when its answer was lost.
    answer = client.post(
        execution_path(args.id, "/retry"), headers={"Idempotency-Key": os.urandom(16).hex()}
    )
    if args.json:
        print_json(answer)
    else:
        execution = answer.json()
        print(f"{cell(execution['id'])}  {cell(execution['status'])}, retry of {cell(args.id)}")
    return 0
