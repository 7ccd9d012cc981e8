"""When the next batch begins: once those are back who were told a moment ago, if they come at once.

Clients that ask one thing after the other would else fall into two groups, of which each waits for
the other's transaction, and a transaction costs half a millisecond whatever is in it. Whether they
come back cannot be known, but as long as the event loop has something to do, somebody may be on the
way. See docs/decisions/0024.
"""

import asyncio
from collections.abc import Sized
from typing import Final

_FEW: Final = 4  # fewer are not worth the wait
_SECONDS_MAX: Final = 0.01
# So long a time of turns that are shorter than the other, in which the event loop did nothing.
_QUIET_SECONDS: Final = 0.0003
_QUIET_TURN_SECONDS: Final = 0.00005


async def gather(queue: Sized, expected: int) -> None:
    """Wait until `queue` holds `expected`, or nobody comes any more; 10 ms at most."""
    # One turn of the event loop: answers leave, and what has arrived meanwhile comes.
    await asyncio.sleep(0)
    if expected < _FEW:
        return
    clock = asyncio.get_running_loop().time
    quiet, last = 0.0, clock()
    end = last + _SECONDS_MAX
    while len(queue) < expected and quiet < _QUIET_SECONDS and last < end:
        await asyncio.sleep(0)
        now = clock()
        quiet = quiet + now - last if now - last < _QUIET_TURN_SECONDS else 0.0
        last = now
