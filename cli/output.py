"""Where the bytes that a command wrote leave again: stdout to stdout, stderr to stderr."""

from __future__ import annotations

import sys

from domain.shown_text import ShownText


class Output:
    """Writes output as it is; where a terminal would read it, as text that cannot act on it.

    Args:
        raw: As it is on a terminal too.
    """

    def __init__(self, *, raw: bool) -> None:
        self._places = {"stdout": sys.stdout, "stderr": sys.stderr}
        self._texts = {
            stream: ShownText()
            for stream, place in self._places.items()
            if place.isatty() and not raw
        }

    def write(self, stream: str, data: bytes) -> None:
        """Write bytes of `stream`, at once."""
        place, text = self._places[stream], self._texts.get(stream)
        if text is None:
            place.buffer.write(data)
        else:
            place.write(text.feed(data))
        place.flush()

    def close(self) -> None:
        """Write what could only be shown once it was known that nothing more comes."""
        for stream, text in self._texts.items():
            self._places[stream].write(text.flush())
            self._places[stream].flush()
