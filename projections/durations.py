"""Classes of durations: fine for short ones, coarse for long ones, so that few rows hold them all.

Four classes for each doubling. A class is at most a quarter as wide as its lower bound, and is told
by its middle, so that a percentile is off by an eighth (12.5 %) at most; below 8 ms it is exact.
"""

from collections.abc import Iterable
from typing import Final

NEVER_RAN: Final = -1
_EXACT: Final = 4


def class_of(milliseconds: int) -> int:
    """Return the class of a duration."""
    if milliseconds < _EXACT:
        return max(0, milliseconds)
    bits = milliseconds.bit_length()
    return 4 * (bits - 2) + (milliseconds >> (bits - 3) & 3)


def middle_of(duration_class: int) -> int:
    """Return the middle of a class, in milliseconds."""
    if duration_class < _EXACT:
        return max(0, duration_class)
    shift = duration_class // 4 - 1
    lowest = (4 + duration_class % 4) << shift
    return lowest + (1 << shift) // 2


def percentile(counts: Iterable[tuple[int, int]], share: float, highest: int) -> int | None:
    """Return the duration that `share` of them do not exceed; None if there is none.

    `counts` are classes and how many are in each; no answer is above `highest`, the longest one.
    """
    ordered = sorted((one, count) for one, count in counts if one != NEVER_RAN)
    total = sum(count for _, count in ordered)
    seen = 0
    for duration_class, count in ordered:
        seen += count
        if seen >= share * total:
            return min(middle_of(duration_class), highest)
    return None
