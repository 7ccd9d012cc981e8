"""Ids as plain numbers: what `ids.py` needs, and all that `exec` needs, which must start quickly.

The modules of UUIDs and dates take longer to import than an id takes to make.
"""

from __future__ import annotations

from collections.abc import Callable

EXECUTION = "exec"

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS = [high + low for high in ALPHABET for low in ALPHABET]
_LOW = (1 << 70) - 1
TEXT_LENGTH = 26
_VARIANT = 0b10 << 62


def spelled(prefix: str, number: int) -> str:
    """Return the TypeID of a UUID's number, such as ``exec_01k9…``."""
    # All in one expression: a loop costs twice as much, and every answer holds several.
    p, high, low = _PAIRS, number >> 70, number & _LOW
    return (
        f"{prefix}_{p[high >> 50]}{p[high >> 40 & 1023]}{p[high >> 30 & 1023]}"
        f"{p[high >> 20 & 1023]}{p[high >> 10 & 1023]}{p[high & 1023]}"
        f"{p[low >> 60]}{p[low >> 50 & 1023]}{p[low >> 40 & 1023]}{p[low >> 30 & 1023]}"
        f"{p[low >> 20 & 1023]}{p[low >> 10 & 1023]}{p[low & 1023]}"
    )


class RisingNumbers:
    """Makes the numbers of UUIDv7s that rise strictly within one process.

    The twelve bits after the millisecond count parts of it (RFC 9562, section 6.2, method 3);
    when the clock stands or steps back they go on from the last value.
    """

    def __init__(self, clock_ns: Callable[[], int], random_bits: Callable[[int], int]) -> None:
        self._clock_ns = clock_ns
        self._random_bits = random_bits
        self._last = 0

    def __call__(self) -> int:
        """Return the next number."""
        milliseconds, rest = divmod(self._clock_ns(), 1_000_000)
        self._last = max(milliseconds << 12 | (rest << 12) // 1_000_000, self._last + 1)
        upper = (self._last >> 12) << 16 | 0x7 << 12 | self._last & 0xFFF
        return upper << 64 | _VARIANT | self._random_bits(62)
