"""`cronledger import`: an exported ledger into a new home or an empty database."""

from __future__ import annotations

import argparse
import contextlib
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from cli.administration import with_settings
from cli.progress import Progress
from cli.usage import REFUSED_EXIT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from api.settings import Settings


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("--home", metavar="DIR", type=Path, help="the new server's home")
    parser.add_argument("file", metavar="FILE", help="what export wrote; `-` for standard input")


def run(args: argparse.Namespace) -> int:
    """Import the file, whole or not at all."""
    return with_settings(args.home, lambda settings: _import(settings, args.file))


def _tell(progress: Progress, size: int, done: int) -> None:
    progress("importing", done, size)


def _import(settings: Settings, name: str) -> int:
    from api import bootstrap  # noqa: PLC0415 - not for --help
    from projections.read_models import READ_MODELS  # noqa: PLC0415
    from store import archive, importing, witness  # noqa: PLC0415
    from store.embedded import HomeInUseError  # noqa: PLC0415

    try:
        with _readable(name) as (file, size), Progress("bytes") as progress:
            told = partial(_tell, progress, size)
            # Before anything is made here: a home that got a key of its own is of no use.
            keys = bootstrap.known_keys(settings)
            opened = importing.begin(archive.Reader(archive.opened(file, told)), keys)
            with bootstrap.unused(settings) as (connection, _):
                done = importing.restore(connection, opened, READ_MODELS, settings.lapses)
                # At this point the ledger is there; the home learns how far it goes.
                path = settings.home / bootstrap.WITNESS
                witness.remember(path, done.ledger_id, done.head)
    except archive.Refused as refused:
        print(f"cronledger: {refused} Nothing was imported.", file=sys.stderr)
        return REFUSED_EXIT
    except HomeInUseError as error:
        print(f"cronledger: {error} Stop it before the import.", file=sys.stderr)
        return REFUSED_EXIT
    print(
        f"imported ledger {done.ledger_id}: {done.head.position:,} events, {done.rows:,} rows.\n"
        "Access tokens are not part of an export: this home has its own, and agents need new ones."
    )
    return 0


@contextlib.contextmanager
def _readable(name: str) -> Iterator[tuple[BinaryIO, int]]:
    """Open the file; also return its size, 0 if nobody knows."""
    if name == "-":
        yield cast("BinaryIO", sys.stdin.buffer), 0
        return
    with Path(name).open("rb") as file:
        yield file, Path(name).stat().st_size
