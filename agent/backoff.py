"""How long to wait before asking a server again that is away or busy."""

from __future__ import annotations

import os

FIRST_SECONDS = 0.2
LONGEST_SECONDS = 10.0
# What a lease depends on is tried again often: a server that comes back gives everyone one fresh
# lease. Several attempts must fall into it, however long it was away, since each may fail too.
_DELAYS_IN_A_LEASE = 6
_LONGEST_IN_A_LEASE_SECONDS = 5.0
_SHORTEST_SECONDS = 0.01
_DOUBLINGS_MAX = 16  # by then the cap is long reached; keeps the power small

_RANDOM_BYTES = 4


class Backoff:
    """Capped exponential delays with jitter; `reset` after a success."""

    def __init__(self, first: float = FIRST_SECONDS, longest: float = LONGEST_SECONDS) -> None:
        self._first = first
        self._longest = longest
        self._failures = 0

    @classmethod
    def within_lease(cls, lease_seconds: float) -> Backoff:
        """Return delays several of which fall into a lease of so many seconds."""
        longest = min(_LONGEST_IN_A_LEASE_SECONDS, lease_seconds / _DELAYS_IN_A_LEASE)
        return cls(longest=max(_SHORTEST_SECONDS, longest))

    def reset(self) -> None:
        """Start again with the shortest delay."""
        self._failures = 0

    def next_delay(self, asked: float | None = None) -> float:
        """Return the seconds to wait; `asked` is a server's Retry-After, honoured to the cap."""
        ceiling: float = min(self._longest, self._first * 2 ** min(self._failures, _DOUBLINGS_MAX))
        self._failures += 1
        delay = ceiling * (1 + _share()) / 2
        return delay if asked is None else max(delay, min(asked, self._longest))


def _share() -> float:
    """Return a part of one, by the system's chance: what started together retries apart."""
    return int.from_bytes(os.urandom(_RANDOM_BYTES), "big") / (1 << 8 * _RANDOM_BYTES)
