"""Modules of the standard library without what is wrapped around them in Python.

`signal` and `socket` turn their numbers into enums: with `enum` and all that it imports they take a
tenth of the time of a whole `exec`. To a type checker these are the public modules; what is used
of them here is the same.
"""

from __future__ import annotations

__all__ = ["SimpleNamespace", "signal", "socket", "suppress"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    import socket
    from types import SimpleNamespace, TracebackType
else:
    import sys

    SimpleNamespace = type(sys.implementation)
    try:
        import _signal as signal
        import _socket as socket
    except ImportError:  # another Python than CPython
        import signal
        import socket


class suppress:  # noqa: N801 - it stands for the one of `contextlib`, which takes long to import
    """Leaves a block where one of these exceptions is raised in it, and goes on behind it."""

    def __init__(self, *kinds: type[BaseException]) -> None:
        self._kinds = kinds

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        return kind is not None and issubclass(kind, self._kinds)
