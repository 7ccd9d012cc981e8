"""Commands that work on the ledger's database directly, as its owner: what goes wrong, in words."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from cli.home import default_home
from cli.usage import UsageError

UNREACHABLE_EXIT = 3


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
    import psycopg  # noqa: PLC0415 - not for --help

    from api.bootstrap import ownership  # noqa: PLC0415
    from api.settings import SettingsError, load  # noqa: PLC0415
    from store.database import NotReady  # noqa: PLC0415
    from store.embedded import EmbeddedError  # noqa: PLC0415
    from store.keys import WrongKey  # noqa: PLC0415

    try:
        settings = load(
            home(args),
            database_url=args.database_url,
            owner_database_url=args.owner_database_url,
        )
        with ownership(settings, migrate=migrate) as conninfo:
            return action(conninfo)
    except SettingsError as error:
        raise UsageError(str(error)) from error
    except psycopg.errors.UndefinedTable:
        print("cronledger: there is no ledger in this database", file=sys.stderr)
    except (NotReady, WrongKey, EmbeddedError, OSError) as error:
        print(f"cronledger: {error}", file=sys.stderr)
    except psycopg.Error as error:
        print(f"cronledger: the database cannot be used: {error}", file=sys.stderr)
    return UNREACHABLE_EXIT
