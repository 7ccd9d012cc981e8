"""Threads, and what they wait for each other with: those of `threading` take longer to import.

All threads here are daemons: none of them keeps the process from ending.
"""

from __future__ import annotations

import time
from _thread import RLock, allocate_lock, start_new_thread

from agent.bare import suppress

TYPE_CHECKING = False  # `exec` waits for no module that it can do without
if TYPE_CHECKING:
    from _thread import LockType
    from collections.abc import Callable
    from typing import Any

__all__ = ["Condition", "Event", "Lock", "RLock", "Thread"]

Lock = allocate_lock

# A signal that comes just before the main thread begins to wait does not wake it: its handler would
# not run before the wait is over. So no wait is longer than this.
_LOOK_UP_SECONDS = 0.5


class Thread:
    """Runs a function beside its maker."""

    def __init__(self, target: Callable[[], object]) -> None:
        self._target = target
        self._ended = allocate_lock()

    def start(self) -> None:
        """Begin; once."""
        self._ended.acquire()
        try:
            start_new_thread(self._run, ())
        except BaseException:
            self._ended.release()
            raise

    def join(self) -> None:
        """Wait until the function has returned; not at all if it was never begun."""
        with self._ended:
            pass

    def _run(self) -> None:
        try:
            self._target()
        finally:
            self._ended.release()


class Condition:
    """A reentrant lock, and a place to wait in for what others do under it.

    A signal handler may take it while it interrupts the thread that holds it.
    """

    def __init__(self) -> None:
        # Its methods that let go of it however often it was taken are known to no type checker.
        self._lock: Any = RLock()
        self._waiting: list[LockType] = []

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_raised: object) -> None:
        self._lock.release()

    def wait(self, seconds: float | None = None) -> None:
        """Let go of the lock until somebody notifies, at most for a time, perhaps for less.

        Then hold it again; so the caller has to look whether it is what it has waited for.
        """
        notified = allocate_lock()
        notified.acquire()
        self._waiting.append(notified)
        held = self._lock._release_save()  # noqa: SLF001 - see above
        try:
            longest = _LOOK_UP_SECONDS if seconds is None else min(seconds, _LOOK_UP_SECONDS)
            notified.acquire(timeout=max(0.0, longest))
        finally:
            self._lock._acquire_restore(held)  # noqa: SLF001
            # Whoever notifies takes it out, which may be a signal handler at any time.
            with suppress(ValueError):
                self._waiting.remove(notified)

    def wait_for(self, is_so: Callable[[], bool], seconds: float | None = None) -> bool:
        """Wait until something is so, or for a time; return whether it is."""
        end = None if seconds is None else time.monotonic() + seconds
        while not (found := is_so()):
            left = None if end is None else end - time.monotonic()
            if left is not None and left <= 0:
                break
            self.wait(left)
        return found

    def notify_all(self) -> None:
        """Wake all who wait. The lock has to be held."""
        waiting, self._waiting = self._waiting, []
        for notified in waiting:
            notified.release()


class Event:
    """Something that happens once."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._is_set = False

    def is_set(self) -> bool:
        """Tell whether it has happened."""
        return self._is_set

    def set(self) -> None:
        """Let it happen."""
        with self._changed:
            self._is_set = True
            self._changed.notify_all()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait for it, or for a time; return whether it has happened."""
        with self._changed:
            return self._changed.wait_for(self.is_set, seconds)
