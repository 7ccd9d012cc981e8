"""`cronledger rebuild`: makes the read models anew from the log, beside a running server."""

from __future__ import annotations

import argparse
import json
import sys

from cli import owned
from cli.progress import Progress
from cli.table import duration_cell
from cli.usage import REFUSED_EXIT


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    owned.add_options(parser)


def run(args: argparse.Namespace) -> int:
    """Rebuild, and say what was done."""
    return owned.as_owner(args, lambda conninfo: _rebuild(args, conninfo), migrate=True)


def _rebuild(args: argparse.Namespace, conninfo: str) -> int:
    from msgspec.structs import asdict  # noqa: PLC0415 - not for --help

    from projections.read_models import READ_MODELS  # noqa: PLC0415
    from projections.rebuild import RebuildRefused, rebuild  # noqa: PLC0415
    from projections.workers import WorkerLost  # noqa: PLC0415

    progress = Progress()
    try:
        done = rebuild(conninfo, READ_MODELS, progress)
    except (RebuildRefused, WorkerLost) as error:
        progress.close()
        print(f"cronledger: {str(error) or error.__doc__}", file=sys.stderr)
        return REFUSED_EXIT
    progress.close()
    if args.json:
        names = [{"name": model.name, "version": model.version} for model in READ_MODELS]
        print(json.dumps(asdict(done) | {"read_models": names}))
        return 0
    print(
        f"rebuilt from {done.events:,} events: {done.streams:,} streams, up to position "
        f"{done.position:,}, in {duration_cell(1000 * done.seconds)}"
    )
    if done.unreadable:
        print(
            f"{done.unreadable:,} streams have events that this version cannot read, and stand "
            "as of the last one that it can: `cronledger verify` names them",
            file=sys.stderr,
        )
    return 0
