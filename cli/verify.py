"""`cronledger verify`: checks the whole ledger, and says what is not as it must be."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

from cli import owned
from cli.progress import Progress
from cli.table import cell, duration_cell

if TYPE_CHECKING:
    from projections.verify import Verified

_FOUND_EXIT = 1


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    owned.add_options(parser)


def run(args: argparse.Namespace) -> int:
    """Verify, and print what was found; the exit code is 1 if that is anything."""
    return owned.as_owner(args, lambda conninfo: _verify(args, conninfo), migrate=False)


def _verify(args: argparse.Namespace, conninfo: str) -> int:
    from api.bootstrap import WITNESS  # noqa: PLC0415 - not for --help
    from projections.read_models import READ_MODELS  # noqa: PLC0415
    from projections.verify import verify  # noqa: PLC0415

    progress = Progress("checks")
    try:
        seen = verify(conninfo, READ_MODELS, owned.home(args) / WITNESS, progress)
    finally:
        progress.close()
    if args.json:
        print(json.dumps(_document(seen)))
    else:
        _tell(seen)
    return 0 if seen.is_sound else _FOUND_EXIT


def _document(seen: Verified) -> dict[str, object]:
    from msgspec.structs import asdict  # noqa: PLC0415

    shown = seen.findings.shown.values()
    return {
        "sound": seen.is_sound,
        "position": seen.position,
        "witness_position": seen.witness_position,
        "erased": seen.findings.erased,
        "seconds": round(seen.seconds, 3),
        "counts": seen.findings.counts,
        "findings": [asdict(finding) for findings in shown for finding in findings],
    }


def _tell(seen: Verified) -> None:
    found = seen.findings
    for kind, count in found.counts.items():
        shown = found.shown.get(kind, [])
        for finding in shown:
            print(f"{kind}: {cell(finding.subject)}: {cell(finding.detail)}")
        if count > len(shown):
            print(f"{kind}: … and {count - len(shown):,} more")
    total = sum(found.counts.values())
    verdict = "sound" if seen.is_sound else f"NOT sound: {_counted(total, 'finding')}"
    erased = "body was" if found.erased == 1 else "bodies were"
    bodies = f"; {found.erased:,} {erased} erased" if found.erased else ""
    took = duration_cell(1000 * seen.seconds)
    print(f"the ledger is {verdict}; {_counted(seen.position, 'event')} checked in {took}{bodies}")


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
