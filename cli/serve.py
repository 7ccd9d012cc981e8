"""`cronledger serve`: the server, with an embedded PostgreSQL unless a database is named."""

from __future__ import annotations

import argparse
import gc
import logging
import sys
from pathlib import Path

from cli.arguments import at_least
from cli.home import default_home
from cli.usage import sentence


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options. What is not given is taken from CRONLEDGER_… variables."""
    parser.add_argument("--home", metavar="DIR", type=Path, help="where everything is kept")
    parser.add_argument("--host", metavar="ADDRESS", help="where to listen (default: 127.0.0.1)")
    parser.add_argument("--port", metavar="N", type=int, help="default: 8420; 0 picks a free one")
    parser.add_argument(
        "--database-url", metavar="URL", help="use this PostgreSQL instead of the embedded one"
    )
    parser.add_argument(
        "--owner-database-url",
        metavar="URL",
        help="login that owns the schema and migrates it, if --database-url does not",
    )
    parser.add_argument("--tls-certificate", metavar="FILE", type=Path, help="PEM, with the chain")
    parser.add_argument("--tls-key", metavar="FILE", type=Path, help="PEM")
    parser.add_argument(
        "--behind-tls-proxy",
        action="store_true",
        default=None,
        help="allow plain HTTP beyond loopback: a proxy in front does TLS",
    )
    parser.add_argument(
        "--with-agent", action="store_true", help="also run a local agent, as a process of its own"
    )
    parser.add_argument(
        "--drain",
        metavar="SECONDS",
        type=at_least(0),
        default=0,
        help="how long the local agent's commands may go on at a stop (default: %(default)s)",
    )
    parser.add_argument(
        "--sign-in-link",
        action="store_true",
        help="print a link that signs in a browser with the admin token, once",
    )


def run(args: argparse.Namespace) -> int:
    """Serve until a signal stops it."""
    gc.disable()  # what is imported is no garbage: until the server has started
    # Imported here: `cronledger serve --help` need not wait for the whole server.
    import psycopg  # noqa: PLC0415

    from api.settings import SettingsError, load  # noqa: PLC0415
    from api.start import serve  # noqa: PLC0415
    from store.database import NotReady  # noqa: PLC0415
    from store.embedded import EmbeddedError  # noqa: PLC0415
    from store.keys import WrongKey  # noqa: PLC0415
    from store.witness import HistoryLost  # noqa: PLC0415

    logging.basicConfig(
        level=logging.WARNING, format="cronledger: %(levelname)s %(message)s", stream=sys.stderr
    )
    given = {
        name: value
        for name, value in vars(args).items()
        if name not in {"home", "with_agent", "drain", "sign_in_link"} and value is not None
    }
    try:
        settings = load(args.home or default_home(), **given)
        return serve(
            settings,
            with_agent=args.with_agent,
            drain_seconds=args.drain,
            sign_in_link=args.sign_in_link,
        )
    except (SettingsError, NotReady, WrongKey, HistoryLost, EmbeddedError) as error:
        print(f"cronledger: {error}", file=sys.stderr)
    except OSError as error:
        print(f"cronledger: {sentence(error)}", file=sys.stderr)
    except (psycopg.OperationalError, psycopg.errors.InsufficientPrivilege) as error:
        print(f"cronledger: the database cannot be used: {error}", file=sys.stderr)
    return 1
