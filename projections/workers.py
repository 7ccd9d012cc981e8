"""Work over the whole log, shared out to processes: Python computes on one core."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection as Pipe
from multiprocessing.connection import wait
from typing import Any, Final, Protocol, TypeAlias

# Does a part with these arguments, and a `Listener`.
Part: TypeAlias = tuple[Callable[..., Any], tuple[Any, ...]]
# What is done (events), of how many in all, and in which step.
Progress: TypeAlias = Callable[[str, int, int], None]


# Below that a process costs more than it brings.
ALONE_MAX: Final = 20_000
_TOLD_EVERY: Final = 5000


class WorkerLost(Exception):
    """A process that did a part of the work was ended from outside; start again."""


class Listener(Protocol):
    """Hears of a part that is being done."""

    def add(self, events: int) -> None:
        """Count some more events that were taken."""
        ...

    def take(self, found: Any) -> None:
        """Take something that cannot wait until the end, since there may be much of it."""
        ...


class Told:
    """Adds up what the parts have done, and tells of it; what they hand over goes to `take`."""

    def __init__(
        self,
        progress: Progress,
        step: str,
        total: int,
        take: Callable[[Any], None] = lambda _: None,
    ) -> None:
        self._progress = progress
        self._step = step
        self._total = total
        self._done = 0
        self.take = take

    def add(self, events: int) -> None:
        """Count some more events."""
        self._done += events
        self._progress(self._step, self._done, self._total)


class _Telling:
    """The listener in a worker: tells its parent, of events not too often."""

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe
        self._events = 0

    def add(self, events: int) -> None:
        self._events += events
        if self._events >= _TOLD_EVERY:
            self.flush()

    def take(self, found: Any) -> None:
        self._pipe.send(("found", found))

    def flush(self) -> None:
        self._pipe.send(("events", self._events))
        self._events = 0


def together(parts: Sequence[Part], listener: Listener, *, events: int) -> list[Any]:
    """Do the parts at once, each in a process of its own, and return what they return.

    For a few `events` here, one after the other. Raises what one of them raised, and `WorkerLost`.
    """
    if events <= ALONE_MAX:
        return [do(*arguments, listener) for do, arguments in parts]
    context = multiprocessing.get_context("spawn")
    pipes: list[Pipe] = []
    workers = []
    try:
        for do, arguments in parts:
            ours, theirs = context.Pipe(duplex=False)
            worker = context.Process(target=_work, args=(theirs, do, arguments), daemon=True)
            worker.start()
            theirs.close()
            pipes.append(ours)
            workers.append(worker)
        return _heard(pipes, listener)
    finally:
        for worker in workers:
            worker.terminate()
            worker.join()


def _heard(pipes: Sequence[Pipe], listener: Listener) -> list[Any]:
    results: dict[int, Any] = {}
    while len(results) < len(pipes):
        ready = wait([pipe for n, pipe in enumerate(pipes) if n not in results])
        for number, pipe in enumerate(pipes):
            if pipe not in ready:
                continue
            try:
                kind, said = pipe.recv()
            except EOFError:
                raise WorkerLost from None
            if kind == "events":
                listener.add(said)
            elif kind == "found":
                listener.take(said)
            elif kind == "error":
                raise said
            else:
                results[number] = said
    return [results[number] for number in range(len(pipes))]


def _work(pipe: Pipe, do: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches us too: our parent ends us
    os.nice(10)  # what the server answers comes first
    threading.Thread(target=_end_with_parent, daemon=True).start()
    telling = _Telling(pipe)
    try:
        result = do(*arguments, telling)
        telling.flush()
        pipe.send(("result", result))
    except Exception as error:  # noqa: BLE001 - raised again by who hears it
        pipe.send(("error", error))


def _end_with_parent() -> None:
    """Do not outlive the process that wants the work, even if it was killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
