"""`cronledger export`: the whole ledger into one file, while the server goes on."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from cli.administration import with_settings
from cli.progress import Progress
from cli.usage import UsageError

if TYPE_CHECKING:
    from api.settings import Settings

_PACKED = ".zst"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("--home", metavar="DIR", type=Path, help="the server's home")
    parser.add_argument(
        "file", metavar="FILE", help=f"where to; `-` for standard output; {_PACKED} packs it"
    )


def run(args: argparse.Namespace) -> int:
    """Write the file."""
    return with_settings(args.home, lambda settings: _export(settings, args.file))


def _export(settings: Settings, name: str) -> int:
    from api.bootstrap import administration  # noqa: PLC0415 - not for --help
    from store import archive, exporting  # noqa: PLC0415

    if Path(name).is_dir():
        raise UsageError(f"{name} is a directory; name the file that is to be written")
    with contextlib.ExitStack() as stack:
        connection = stack.enter_context(administration(settings))
        file = stack.enter_context(_whole_or_not_at_all(name))
        if name.endswith(_PACKED):
            file = stack.enter_context(contextlib.closing(archive.packed(file)))
        total = exporting.size(connection) if sys.stderr.isatty() else 0
        writer = archive.Writer(file)
        with Progress("events and rows") as progress:
            exporting.export(
                connection, writer, lambda done: progress("exporting", done, max(done, total))
            )
    print(f"exported {writer.events:,} events and {writer.rows:,} rows", file=sys.stderr)
    return 0


@contextlib.contextmanager
def _whole_or_not_at_all(name: str) -> Iterator[BinaryIO]:
    """Open the file for its owner alone; it is there when it is whole, and durable then."""
    if name == "-":
        sys.stdout.flush()
        yield cast("BinaryIO", sys.stdout.buffer)
        sys.stdout.buffer.flush()
        return
    path = Path(name)
    new = path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise OSError(error.errno, error.strerror, name) from error  # by the name that was given
    try:
        with os.fdopen(descriptor, "wb", buffering=1 << 20) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)
