"""When the next batch begins: once those are back who were told a moment ago, if they come at once.

Clients that ask one thing after the other would else fall into two groups, of which each waits for
the other's transaction, and a transaction costs half a millisecond whatever is in it. Whether they
come back cannot be known, but as long as the event loop has something to do, somebody may be on the
way. See docs/decisions/0024.
"""

import asyncio
import time
from collections.abc import Callable, Sized
from typing import Final

FEW: Final = 4  # fewer are not worth the wait
SECONDS_MAX: Final = 0.01
# The event loop is quiet once turns shorter than the other, one after the other, add up to this.
QUIET_SECONDS: Final = 0.0003
QUIET_TURN_SECONDS: Final = 0.00005


async def gather(
    queue: Sized, expected: int, clock: Callable[[], float] = time.perf_counter
) -> None:
    """Wait until `queue` holds `expected`, or nobody comes any more; 10 ms at most.

    `clock` is in seconds. It is not the event loop's, which goes on in whole milliseconds.
    """
    # One turn of the event loop: answers leave, and what has arrived meanwhile comes.
    await asyncio.sleep(0)
    if expected < FEW:
        return
    quiet, last = 0.0, clock()
    end = last + SECONDS_MAX
    while len(queue) < expected and quiet < QUIET_SECONDS and last < end:
        await asyncio.sleep(0)
        now = clock()
        quiet = quiet + now - last if now - last < QUIET_TURN_SECONDS else 0.0
        last = now
