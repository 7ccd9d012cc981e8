"""What must be held back: the end of the data so far, if more bytes could make it a secret."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from agent.secret_forms import Form, Texts


class Beginnings:
    """Knows the proper beginnings of many forms, and finds the longest at the end of data.

    It goes backwards from the end: each character of a form is a place where the data may end, in
    the middle of one of its texts, or before them. From the few places that fit the last bytes,
    character by character must fit, to the first one.
    """

    def __init__(self, forms: Iterable[Form]) -> None:
        # By the last bytes: the rest of the unfinished text, if any, and one byte before it.
        self._places: dict[bytes, list[tuple[Sequence[Texts], int, int]]] = defaultdict(list)
        self._unfinished_first: set[bytes] = set()
        self._ending_max = 1
        for form in forms:
            self._add(form.characters)

    def _add(self, characters: Sequence[Texts]) -> None:
        self._unfinished_first |= _unfinished(characters[0]) - {b""}
        for number in range(1, len(characters)):
            before = {text[-1:] for text in characters[number - 1]}
            for rest in _unfinished(characters[number]):
                self._ending_max = max(self._ending_max, 1 + len(rest))
                for byte in before:
                    self._places[byte + rest].append((characters, number, len(rest)))

    def earliest(self, data: bytes) -> int:
        """Return where the longest beginning starts that reaches the end; its length if none."""
        earliest = len(data)
        for size in range(1, min(self._ending_max, len(data)) + 1):
            ending = data[-size:]
            if ending in self._unfinished_first:
                earliest = min(earliest, len(data) - size)
            for characters, number, rest in self._places.get(ending, ()):
                for start in _starts(data, len(data) - rest, characters, number):
                    earliest = min(earliest, start)
        return earliest


def _unfinished(texts: Texts) -> set[bytes]:
    return {text[:size] for text in texts for size in range(len(text))}


def _starts(data: bytes, end: int, characters: Sequence[Texts], number: int) -> Iterator[int]:
    """Yield where the first `number` characters may start if they end at `end`."""
    reached = {end}
    for texts in reversed(characters[:number]):
        reached = {
            position - len(text)
            for position in reached
            for text in texts
            if position >= len(text) and data.endswith(text, 0, position)
        }
        if not reached:
            return
    yield from reached
