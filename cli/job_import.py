"""`cronledger job import`: jobs from the lines of a crontab, shown first and made with --yes."""

from __future__ import annotations

import argparse
import json
import os
import pwd
import socket
import sys
from pathlib import Path
from typing import Any

from agent.client import Client, Problem
from cli import crontab_command
from cli.arguments import at_least
from cli.arguments import name as name_type
from cli.connection import with_server
from cli.crontab_command import CrontabError
from cli.crontab_jobs import Draft, drafts
from cli.job_tables import command
from cli.table import cell, table, terminal_width, time_cell
from cli.time_zone import crons_zone
from cli.usage import REFUSED_EXIT
from domain.ids import derived_job_id
from domain.names import agent_id_of

_JOBS = "/v1/cron-jobs"
_NOT_FOUND = 404
_NOT_THIS = frozenset({400, 409, 422})
_HEAD = ("LINE", "NAME", "SCHEDULE", "ZONE", "NEXT (UTC)", "COMMAND")
_COMMAND_COLUMN = 5


def add(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "file",
        metavar="CRONTAB",
        nargs="?",
        help="the crontab; - is standard input (default: this user's own, from `crontab -l`)",
    )
    parser.add_argument("--yes", action="store_true", help="make the jobs, not only show them")
    parser.add_argument(
        "--system",
        action="store_true",
        help="each line names a user (always so for /etc/crontab and in /etc/cron.d)",
    )
    parser.add_argument(
        "--timezone",
        metavar="ZONE",
        help="where the crontab sets no CRON_TZ (default: this machine's zone)",
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--agent-id", metavar="ID", type=name_type, help="who runs them (default: this machine)"
    )
    where.add_argument("--any-agent", action="store_true", help="any agent may run them")
    parser.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=at_least(1),
        help="when they are ended (default 300; cron never does)",
    )
    parser.add_argument("--tag", action="append", type=name_type, metavar="TAG", help="repeatable")
    parser.add_argument("--paused", action="store_true", help="not due until they are resumed")


def run(args: argparse.Namespace) -> int:
    """Show what would be made, and make it if asked to."""
    try:
        lines = crontab_command.read(args.file).decode("utf-8", "surrogateescape").split("\n")
    except CrontabError as error:
        print(f"cronledger: {error}", file=sys.stderr)
        return REFUSED_EXIT
    system = args.system or crontab_command.is_systems(args.file)
    found = drafts(
        lines,
        system=system,
        zone=args.timezone or crons_zone() or "UTC",
        home_of=_home_of,
        defaults=_defaults(args),
    )
    return with_server(lambda client: _import(client, args, found))


def _defaults(args: argparse.Namespace) -> dict[str, Any]:
    said: dict[str, Any] = {}
    if not args.any_agent:
        # A crontab is about its own machine.
        said["agent_id"] = args.agent_id or agent_id_of(socket.gethostname())
    if args.timeout is not None:
        said["timeout_seconds"] = args.timeout
    if args.tag:
        said["tags"] = args.tag
    if args.paused:
        said["is_enabled"] = False
    return said


def _home_of(user: str | None) -> str | None:
    if user is None:
        return str(Path.home())
    try:
        return pwd.getpwnam(user).pw_dir
    except KeyError:
        return None


def _import(client: Client, args: argparse.Namespace, found: list[Draft]) -> int:
    seen = [(draft, _looked_at(client, draft)) for draft in found]
    if not args.json:
        _show(seen)
    made, refused = [], 0
    for draft, _ in seen if args.yes else ():
        if draft.body is None:
            continue
        try:
            headers = {"Idempotency-Key": os.urandom(16).hex()}
            made.append(client.post(_JOBS, draft.body, headers=headers).json())
        except Problem as problem:
            if problem.status not in _NOT_THIS:
                raise
            refused += 1
            draft.body, draft.reason = None, str(problem)
            print(f"cronledger: line {draft.number}: {problem}", file=sys.stderr)
    if args.json:
        print(json.dumps([_public(draft, due, made) for draft, due in seen], indent=2))
    elif args.yes:
        print(f"\nmade {len(made)} jobs; take their lines out of the crontab, or both run them")
    elif any(draft.body for draft in found):
        print("\nnothing is made yet; with --yes these jobs are")
    return REFUSED_EXIT if refused else 0


def _looked_at(client: Client, draft: Draft) -> str | None:
    """Return when a job is due next; leave it alone if it is there, or its schedule is none."""
    if draft.body is None:
        return None
    name = draft.body["name"]
    try:
        client.get(f"{_JOBS}/{derived_job_id(name)}")
    except Problem as problem:
        if problem.status != _NOT_FOUND:
            raise
    else:
        draft.body, draft.reason = None, f"there is a job {name} already"
        return None
    query = [(key, draft.body[key]) for key in ("schedule", "timezone")]
    try:
        explained = client.get(f"{_JOBS}/explain", query).json()
    except Problem as problem:
        if problem.status not in _NOT_THIS:
            raise
        draft.body, draft.reason = None, str(problem)
        return None
    return str(explained["next"][0]["at"]) if explained["next"] else None


def _show(seen: list[tuple[Draft, str | None]]) -> None:
    rows = [
        (
            str(draft.number),
            cell(draft.body["name"]),
            cell(draft.body["schedule"]),
            cell(draft.body["timezone"]),
            time_cell(due),
            command(draft.body["command"]),
        )
        for draft, due in seen
        if draft.body is not None
    ]
    if rows:
        print(table(_HEAD, rows, elastic=_COMMAND_COLUMN, width=terminal_width()))
    else:
        print("there is no line to make a job of")
    sys.stdout.flush()
    for draft, _ in seen:
        said = [f"is left alone: {draft.reason}"] if draft.body is None else draft.notes
        for sentence in said:
            print(f"cronledger: line {draft.number}: {cell(sentence)}", file=sys.stderr)


def _public(draft: Draft, due: str | None, made: list[dict[str, Any]]) -> dict[str, Any]:
    job = next((one for one in made if draft.body and one["name"] == draft.body["name"]), None)
    return {
        "line": draft.number,
        "job": draft.body,
        "next_run_at": due,
        "reason": draft.reason or None,
        "notes": draft.notes,
        "made": job["id"] if job else None,
    }
