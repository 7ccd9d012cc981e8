"""Types of command-line values that several commands take."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from domain.names import is_name

_SECONDS_MAX = 86_400


def at_least(lowest: int) -> Callable[[str], int]:
    """Return an argparse type: a whole number that is not below `lowest`."""

    def whole_number(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = lowest - 1
        if value < lowest:
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number from {lowest} up")
        return value

    return whole_number


def seconds(text: str) -> float:
    """Return a time in seconds that comes to an end (an argparse type)."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= _SECONDS_MAX:
        raise argparse.ArgumentTypeError(f"{text!r} is no time from 0 to {_SECONDS_MAX} seconds")
    return value


def name(text: str) -> str:
    """Return a name as agents, jobs and labels have it (an argparse type)."""
    if not is_name(text):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no name: letters, digits and _ . : @ -, the first a letter or digit"
        )
    return text


def add_mask_option(parser: argparse.ArgumentParser, what: str) -> None:
    """Add --mask, which may be given again and again."""
    parser.add_argument(
        "--mask",
        metavar="PATTERN",
        action="append",
        default=[],
        type=mask_pattern,
        help=f"mask what matches this regular expression in {what} (repeatable)",
    )


def mask_pattern(text: str) -> str:
    """Return a pattern that can be looked for in a stream (an argparse type)."""
    from agent.kept_output import masker_for  # noqa: PLC0415 - most commands mask nothing

    try:
        masker_for((), [text])
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: {error}") from error
    return text
