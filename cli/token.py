"""`cronledger token`: makes, lists and revokes access tokens, on the database directly."""

from __future__ import annotations

import argparse
import json
import secrets
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.administration import with_settings
from cli.arguments import at_least
from cli.usage import UsageError
from domain.names import is_name

if TYPE_CHECKING:
    from psycopg import Connection

    from api.settings import Settings
    from store.tokens import Token

_DAYS_MAX = 36_500


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the actions and their options."""
    # Here, so that there is one list of scopes; no other command pays for it.
    from store.tokens import SCOPES  # noqa: PLC0415

    parser.add_argument("--home", metavar="DIR", type=Path, help="the server's home")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    create = actions.add_parser("create", help="make a token and print it, this one time")
    create.add_argument("--name", required=True, help="what it is for")
    create.add_argument(
        "--scope",
        action="append",
        required=True,
        choices=SCOPES,
        help="what it may do; repeatable (admin implies all)",
    )
    create.add_argument(
        "--agent-id", metavar="ID", help="bind it to this agent (needed with --scope agent)"
    )
    create.add_argument("--expires-in-days", metavar="N", type=_days, help="default: never")
    listing = actions.add_parser("list", help="list tokens, never their secrets")
    listing.add_argument("--json", action="store_true", help="for programs")
    revoke = actions.add_parser("revoke", help="revoke a token at once")
    revoke.add_argument("id", help="tok_…, as `token list` shows it")


def _days(text: str) -> int:
    days = at_least(1)(text)
    if days > _DAYS_MAX:
        raise argparse.ArgumentTypeError(f"{text!r} is more than {_DAYS_MAX}: leave it out")
    return days


def run(args: argparse.Namespace) -> int:
    """Do the action."""
    if args.action == "create":
        _check(args)
    action = {"create": _create, "list": _list, "revoke": _revoke}[args.action]

    def work(settings: Settings) -> int:
        from api.bootstrap import administration  # noqa: PLC0415 - not for --help

        with administration(settings) as connection:
            return action(args, connection)

    return with_settings(args.home, work)


def _check(args: argparse.Namespace) -> None:
    if not args.name.strip():
        raise UsageError("--name must not be blank: it tells what the token is for")
    if args.agent_id is not None and not is_name(args.agent_id):
        raise UsageError(
            f"--agent-id {args.agent_id!r} is no name: it must begin with a letter or digit and "
            "hold only letters, digits and _ . : @ - (at most 128)"
        )
    if args.agent_id is None and "agent" in args.scope and "admin" not in args.scope:
        raise UsageError("--scope agent needs --agent-id: the agent that the token is for")


def _create(args: argparse.Namespace, connection: Connection[Any]) -> int:
    from domain import ids  # noqa: PLC0415
    from store import tokens  # noqa: PLC0415

    expires_at = None
    if args.expires_in_days is not None:
        expires_at = datetime.now(UTC) + timedelta(days=args.expires_in_days)
    token_id = ids.Uuid7(time.time_ns, secrets.randbits)()
    secret = tokens.create(
        connection,
        token_id,
        args.name,
        sorted(set(args.scope)),
        agent_id=args.agent_id,
        expires_at=expires_at,
    )
    print(f"made token {ids.to_text(ids.TOKEN, token_id)}; it is shown only now", file=sys.stderr)
    print(secret)
    return 0


def _list(args: argparse.Namespace, connection: Connection[Any]) -> int:
    from cli.table import cell, table, terminal_width  # noqa: PLC0415
    from store import tokens  # noqa: PLC0415

    rows = [_row(token) for token in tokens.everyone(connection)]
    if args.json:
        print(json.dumps(rows))
    else:
        head = ["ID", "NAME", "SCOPES", "AGENT", "CREATED", "EXPIRES", "LAST USED", "STATE"]
        cells = [[cell(value) for value in row.values()] for row in rows]
        print(table(head, cells, elastic=1, width=terminal_width()))
    return 0


def _row(token: Token) -> dict[str, str | None]:
    from domain import ids  # noqa: PLC0415

    return {
        "id": ids.to_text(ids.TOKEN, token.id),
        "name": token.name,
        "scopes": ",".join(token.scopes),
        "agent_id": token.agent_id,
        "created_at": _time(token.created_at),
        "expires_at": _time(token.expires_at),
        "last_used_at": _time(token.last_used_at),
        "state": "revoked" if token.revoked_at else "active",
    }


def _time(moment: datetime | None) -> str | None:
    return moment.strftime("%Y-%m-%d %H:%M:%S") if moment else None


def _revoke(args: argparse.Namespace, connection: Connection[Any]) -> int:
    from domain import ids  # noqa: PLC0415
    from store import tokens  # noqa: PLC0415

    token_id = ids.from_text(ids.TOKEN, args.id)
    if token_id is None or not tokens.revoke(connection, token_id):
        print(f"cronledger: there is no token {args.id}", file=sys.stderr)
        return 1
    return 0
