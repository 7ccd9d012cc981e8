"""`cronledger webhook`: whom to tell of failures, recoveries, successes and missed runs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from typing import Any

from agent.client import Client
from cli.arguments import name
from cli.connection import print_json, segment, with_server
from cli.table import cell, table, terminal_width, time_cell

WEBHOOKS = "/v1/webhooks"
EVENTS = ("failure", "recovery", "missed", "success")
_HEAD = ("NAME", "URL", "EVENTS", "TAGS", "WAITING", "FAILURES", "NEXT TRY (UTC)")
_DELIVERY_HEAD = ("ID", "EVENT", "STATE", "CREATED (UTC)", "ATTEMPTS", "LAST ANSWER")
_URL_COLUMN = 1
_ANSWER_COLUMN = 5


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the actions and their options."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    create = actions.add_parser("create", help="make one and print its secret, this one time")
    create.add_argument(
        "--event",
        action="append",
        choices=EVENTS,
        help="what to tell (repeatable; default: failure, recovery and missed)",
    )
    create.add_argument(
        "--tag", action="append", default=[], type=name, help="only of jobs with it (repeatable)"
    )
    listing = actions.add_parser("list", help="list all")
    for word, text in (
        ("show", "show one"),
        ("delete", "delete it, with what was told to it"),
        ("test", "send it a test message"),
        ("secret", "give it another secret and print that, this one time"),
        ("deliveries", "list what was told to it, newest first"),
        ("redeliver", "send a message again, at once"),
    ):
        actions.add_parser(word, help=text)
    for word, action in actions.choices.items():
        if action is not listing:
            action.add_argument("name", metavar="NAME", type=name, help="what it is called")
        if action is create:
            action.add_argument("url", metavar="URL", help="where to send to")
        if word == "redeliver":
            action.add_argument("delivery", metavar="DELIVERY", help="dlv_…, as listed")
        action.add_argument("--json", action="store_true", help="print the server's JSON")


def run(args: argparse.Namespace) -> int:
    """Do the action."""
    return with_server(lambda client: _ACTIONS[args.action](client, args))


def _path(args: argparse.Namespace, rest: str = "") -> str:
    return f"{WEBHOOKS}/{segment(args.name)}{rest}"


def _create(client: Client, args: argparse.Namespace) -> int:
    body: dict[str, Any] = {"name": args.name, "url": args.url, "tags": args.tag}
    if args.event is not None:
        body["events"] = args.event
    return _secret(client, args, WEBHOOKS, body)


def _renew(client: Client, args: argparse.Namespace) -> int:
    return _secret(client, args, _path(args, "/secret"), {})


def _secret(client: Client, args: argparse.Namespace, path: str, body: dict[str, Any]) -> int:
    answer = client.post(path, body)
    if args.json:
        print_json(answer)
    else:
        print(
            f"this secret signs what is sent to {args.name}; it is shown only now", file=sys.stderr
        )
        print(answer.json()["secret"])
    return 0


def _list(client: Client, args: argparse.Namespace) -> int:
    answer = client.get(WEBHOOKS)
    if args.json:
        print_json(answer)
    else:
        _print(answer.json()["data"])
    return 0


def _show(client: Client, args: argparse.Namespace) -> int:
    answer = client.get(_path(args))
    if args.json:
        print_json(answer)
    else:
        _print([answer.json()])
    return 0


def _print(webhooks: list[Mapping[str, Any]]) -> None:
    rows = [
        (
            cell(one["name"]),
            cell(one["url"]),
            cell(", ".join(one["events"]) or "as jobs say"),
            cell(", ".join(one["tags"])),
            cell(one["pending"]),
            cell(one["failures"]),
            time_cell(one["resume_at"]),
        )
        for one in webhooks
    ]
    if rows:
        print(table(_HEAD, rows, elastic=_URL_COLUMN, width=terminal_width()))
    else:
        print("there are no webhooks; make one with `cronledger webhook create`")


def _delete(client: Client, args: argparse.Namespace) -> int:
    client.request("DELETE", _path(args))
    return 0


def _test(client: Client, args: argparse.Namespace) -> int:
    answer = client.post(_path(args, "/test"), {})
    if args.json:
        print_json(answer)
    else:
        print(f"on its way as {cell(answer.json()['id'])}; see `cronledger webhook deliveries`")
    return 0


def _deliveries(client: Client, args: argparse.Namespace) -> int:
    answer = client.get(_path(args, "/deliveries"))
    if args.json:
        print_json(answer)
        return 0
    rows = [_delivery(one) for one in answer.json()["data"]]
    if rows:
        print(table(_DELIVERY_HEAD, rows, elastic=_ANSWER_COLUMN, width=terminal_width()))
    else:
        print("nothing was told to it in the last week")
    return 0


def _delivery(one: Mapping[str, Any]) -> tuple[str, ...]:
    last = one["attempts"][-1] if one["attempts"] else {}
    return (
        cell(one["id"]),
        cell(one["event"]),
        cell(one["state"]),
        time_cell(one["created_at"]),
        cell(last.get("number", 0)),
        cell(last.get("error") or last.get("status_code")),
    )


def _redeliver(client: Client, args: argparse.Namespace) -> int:
    client.post(_path(args, f"/deliveries/{segment(args.delivery)}/redeliver"), {})
    return 0


_ACTIONS = {
    "create": _create,
    "list": _list,
    "show": _show,
    "delete": _delete,
    "test": _test,
    "secret": _renew,
    "deliveries": _deliveries,
    "redeliver": _redeliver,
}
