"""Where the bytes that a command wrote leave again: stdout to stdout, stderr to stderr."""

from __future__ import annotations

import sys


def write(stream: str, data: bytes) -> None:
    """Write bytes of `stream`, at once. This is the one place where they may meet a terminal."""
    to = sys.stderr if stream == "stderr" else sys.stdout
    to.buffer.write(data)
    to.buffer.flush()
