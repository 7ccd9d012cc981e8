"""`cronledger agents`: the agents that the server knows, and what they run."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from agent.client import Client
from cli.connection import print_json, with_server
from cli.table import cell, table, terminal_width, time_cell

AGENTS = "/v1/agents"
_HEAD = ("AGENT", "LAST SEEN (UTC)", "VERSION", "LABELS", "RUNS", "AT ONCE", "TOKEN")
_LABELS_COLUMN = 3


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("--json", action="store_true", help="print the server's JSON")


def run(args: argparse.Namespace) -> int:
    """Print the agents, last seen first."""
    return with_server(lambda client: _agents(client, args))


def _agents(client: Client, args: argparse.Namespace) -> int:
    answer = client.get(AGENTS)
    if args.json:
        print_json(answer)
        return 0
    rows = [_row(agent) for agent in answer.json()["data"]]
    if rows:
        print(table(_HEAD, rows, elastic=_LABELS_COLUMN, width=terminal_width()))
    else:
        print("no agent was seen in the last 30 days")
    return 0


def _row(agent: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        cell(agent["agent_id"]),
        time_cell(agent["last_seen_at"]),
        cell(agent["version"]),
        cell(",".join(agent["labels"])),
        cell(agent["running_count"]),
        cell(agent["concurrency"]),
        "bound" if agent["token_bound"] else "not bound",
    )
