"""Commands that work on the ledger's database directly, as its owner."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from cli.administration import with_settings
from cli.home import default_home
from cli.usage import UNREACHABLE_EXIT

if TYPE_CHECKING:
    from api.settings import Settings


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add where the ledger is."""
    parser.add_argument("--home", metavar="DIR", type=Path, help="the server's home")
    parser.add_argument(
        "--database-url", metavar="URL", help="an external PostgreSQL, if that is where it is"
    )
    parser.add_argument(
        "--owner-database-url", metavar="URL", help="login that owns the schema, if another does"
    )
    parser.add_argument("--json", action="store_true", help="print the result for programs")


def home(args: argparse.Namespace) -> Path:
    """Return the server's home."""
    chosen: Path = args.home or default_home()
    return chosen


def as_owner(args: argparse.Namespace, action: Callable[[str], int], *, migrate: bool) -> int:
    """Do `action` with what the owner of the database connects with; return its exit code."""

    def work(settings: Settings) -> int:
        from api.bootstrap import ownership  # noqa: PLC0415 - not for --help

        with ownership(settings, migrate=migrate) as conninfo:
            return action(conninfo)

    return with_settings(
        home(args),
        work,
        database_url=args.database_url,
        owner_database_url=args.owner_database_url,
        file_exit=UNREACHABLE_EXIT,  # 1 would say that something was found
    )
