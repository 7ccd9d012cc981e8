"""Ids as plain numbers: what `ids.py` needs, and all that `exec` needs, which must start quickly.

The modules of UUIDs and dates take longer to import than an id takes to make.
"""

from __future__ import annotations

TYPE_CHECKING = False  # `exec` waits for no module that it can do without
if TYPE_CHECKING:
    from collections.abc import Callable

EXECUTION = "exec"

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS = [high + low for high in ALPHABET for low in ALPHABET]
_PAIR_BITS = 10
TEXT_LENGTH = 26


def spelled(prefix: str, number: int) -> str:
    """Return the TypeID of a UUID's number, such as ``exec_01k9…``."""
    pairs = []
    for _ in range(TEXT_LENGTH // 2):
        pairs.append(_PAIRS[number & 1023])
        number >>= _PAIR_BITS
    pairs.reverse()
    return prefix + "_" + "".join(pairs)


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
        return (
            (self._last >> 12) << 80
            | 0x7 << 76
            | (self._last & 0xFFF) << 64
            | 0b10 << 62
            | self._random_bits(62)
        )
