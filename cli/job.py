"""`cronledger job`: what is to run, when, and by which rules."""

from __future__ import annotations

import argparse
import json
import os
from typing import Any

from agent.client import Answer, Client, Problem
from cli import job_import, job_options, job_tables, passed_times
from cli.connection import JOBS, print_json, segment, with_server
from cli.erase_bodies import REASONS
from cli.table import cell
from cli.usage import UsageError
from domain.ids import derived_job_id

_NOT_FOUND = 404


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the actions and their options."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    create = actions.add_parser("create", help="define a job; its command stands after --")
    create.add_argument("name", metavar="NAME", help="what it is called")
    create.add_argument("--id", metavar="ID", help="default: the one that its name's runs have")
    job_options.add(create)
    listing = actions.add_parser("list", help="list jobs, newest first")
    _add_filters(listing)
    for name, text in (
        ("show", "show one job"),
        ("edit", "change a job; what is not given stays"),
        ("pause", "let it be due no more, until it is resumed"),
        ("resume", "let it be due again, from now on"),
        ("delete", "delete it; what it ran stays"),
        ("run", "run it now, enabled or paused"),
    ):
        action = actions.add_parser(name, help=text)
        action.add_argument("id", metavar="JOB", help="its id or its name")
        if name == "edit":
            action.add_argument("--name", metavar="NAME", help="call it so; its id stays")
            job_options.add(action)
            job_options.add_for_edit(action)
    erase = actions.add_parser(
        "erase", help="erase what it had and has no more; of a deleted one all"
    )
    erase.add_argument("id", metavar="JOB", help="its id or its name, also of a deleted one")
    erase.add_argument("--reason", choices=REASONS, default="requested", help="for the record")
    erase.add_argument(
        "--shared", action="store_true", help="also what its executions ran, which then show none"
    )
    imported = actions.add_parser("import", help="make jobs of the lines of a crontab")
    job_import.add(imported)
    explain = actions.add_parser("explain", help="say what a schedule means, and when it is due")
    explain.add_argument("schedule", metavar="SCHEDULE", help="cron, @daily, or a phrase")
    explain.add_argument("--timezone", metavar="ZONE", help="an IANA time zone (default UTC)")
    for action in actions.choices.values():
        action.add_argument("--json", action="store_true", help="print JSON")


def _add_filters(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tag", metavar="TAG", help="with this tag")
    state = parser.add_mutually_exclusive_group()
    state.add_argument("--enabled", dest="is_enabled", action="store_const", const="true")
    state.add_argument("--paused", dest="is_enabled", action="store_const", const="false")
    parser.add_argument("--agent-id", metavar="ID", help="that only this agent may run")
    parser.add_argument("--name", dest="q", metavar="TEXT", help="with this in their name")
    parser.add_argument(
        "--limit", metavar="N", type=int, help="at most N (default 20, at most 100)"
    )
    parser.add_argument("--offset", metavar="N", type=int, help="leave out the first N")


def run(args: argparse.Namespace) -> int:
    """Do the action."""
    if args.action not in {"create", "edit"} and args.command_line:
        raise UsageError(f"job {args.action} takes no command")
    if args.action == "import":
        return job_import.run(args)
    return with_server(lambda client: _ACTIONS[args.action](client, args))


def path(job_id: str, rest: str = "") -> str:
    """Return the path of a job. Raises `UsageError`."""
    return f"{JOBS}/{segment(job_id)}{rest}"


def found(client: Client, text: str) -> Answer:
    """Return the job with this id, or whose id is that of this name. Raises `Problem`."""
    try:
        return client.get(path(text))
    except Problem as problem:
        if problem.status != _NOT_FOUND:
            raise
        return client.get(path(derived_job_id(text)))


def _create(client: Client, args: argparse.Namespace) -> int:
    body = job_options.body(args)
    if "command" not in body:
        raise UsageError("say what to run: after --, or with --command")
    body = {"name": args.name, "schedule": None, **body}
    if args.id is not None:
        body["id"] = args.id
    # With a key of its own the request may be sent again when its answer was lost.
    answer = client.post(JOBS, body, headers={"Idempotency-Key": os.urandom(16).hex()})
    return _shown(answer, args)


def _edit(client: Client, args: argparse.Namespace) -> int:
    body = job_options.body(args)
    if args.name is not None:
        body["name"] = args.name
    if not body:
        raise UsageError("say what is to be different; `cronledger job edit --help` lists it")
    if args.version is not None:
        body["version"] = args.version
    job = found(client, args.id).json()
    answer = client.request(
        "PATCH",
        path(job["id"]),
        headers={"Content-Type": "application/json"},
        body=json.dumps(job_options.added_to(job, body)).encode(),
    )
    return _shown(answer, args)


def _list(client: Client, args: argparse.Namespace) -> int:
    names = ("tag", "is_enabled", "agent_id", "q", "limit", "offset")
    query = [(name, str(getattr(args, name))) for name in names if getattr(args, name) is not None]
    answer = client.get(JOBS, query)
    if args.json:
        print_json(answer)
    else:
        print(job_tables.listed(answer.json()))
    return 0


def _show(client: Client, args: argparse.Namespace) -> int:
    answer = found(client, args.id)
    _shown(answer, args)
    if not args.json:
        passed = client.get(path(answer.json()["id"], "/skipped"), [("limit", "5")]).json()
        if passed["data"]:
            print(f"\nnothing ran:\n{passed_times.listed(passed, named=False)}")
    return 0


def _switch(client: Client, args: argparse.Namespace) -> int:
    return _shown(client.post(path(_id(client, args), f"/{args.action}")), args)


def _delete(client: Client, args: argparse.Namespace) -> int:
    job = found(client, args.id).json()
    client.request("DELETE", path(job["id"]))
    if args.json:
        print(json.dumps({"id": job["id"], "deleted": True}))
    else:
        print(f"{cell(job['name'])} is deleted; what it ran stays (`cronledger list`)")
    return 0


def _erase(client: Client, args: argparse.Namespace) -> int:
    body = {"reason": args.reason, "shared": args.shared}
    try:
        answer = client.post(path(args.id, "/erase"), body)
    except Problem as problem:
        if problem.status != _NOT_FOUND:
            raise
        answer = client.post(path(derived_job_id(args.id), "/erase"), body)
    if args.json:
        print_json(answer)
    else:
        print(f"{cell(answer.json()['id'])}  former texts erased: {answer.json()['erased']}")
    return 0


def _run(client: Client, args: argparse.Namespace) -> int:
    answer = client.post(
        path(_id(client, args), "/run"), headers={"Idempotency-Key": os.urandom(16).hex()}
    )
    if args.json:
        print_json(answer)
    else:
        execution = answer.json()
        print(f"{cell(execution['id'])}  {cell(execution['status'])}")
    return 0


def _explain(client: Client, args: argparse.Namespace) -> int:
    query = [("schedule", args.schedule)]
    if args.timezone is not None:
        query.append(("timezone", args.timezone))
    answer = client.get(f"{JOBS}/explain", query)
    if args.json:
        print_json(answer)
    else:
        print(job_tables.explained(answer.json()))
    return 0


def _id(client: Client, args: argparse.Namespace) -> str:
    return str(found(client, args.id).json()["id"])


def _shown(answer: Answer, args: argparse.Namespace) -> int:
    if args.json:
        print_json(answer)
    else:
        print(job_tables.shown(answer.json()))
    return 0


_ACTIONS: dict[str, Any] = {
    "create": _create,
    "list": _list,
    "show": _show,
    "edit": _edit,
    "pause": _switch,
    "resume": _switch,
    "delete": _delete,
    "erase": _erase,
    "run": _run,
    "explain": _explain,
}
