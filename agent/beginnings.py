"""What must be held back: the end of the data so far, if more bytes could make it a secret."""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Iterable
from functools import lru_cache

from agent.secret_forms import Form, Texts


class Beginnings:
    """Knows the proper beginnings of many forms, and finds the longest at the end of data.

    It goes backwards from the end: each character of a form is a place where the data may end, in
    the middle of one of its texts, or before them. From the few places that fit the last bytes,
    character by character must fit, to the first one.
    """

    def __init__(self, forms: Iterable[Form]) -> None:
        # The characters of all forms, with an empty one before each form.
        self._characters: list[Texts] = []
        # Their numbers, by the last bytes: the begun text, if any, and one byte before it.
        self._places: dict[bytes, array[int]] = defaultdict(lambda: array("L"))
        self._begun_first: set[bytes] = set()
        self._ending_max = 1
        for form in forms:
            self._add(form)

    def _add(self, form: Form) -> None:
        self._begun_first |= _beginnings(form.characters[0]) - {b""}
        before: Texts = ()
        self._characters.append(before)
        for texts in form.characters:
            for byte in {text[-1:] for text in before}:
                for begun in _beginnings(texts):
                    self._ending_max = max(self._ending_max, 1 + len(begun))
                    self._places[byte + begun].append(len(self._characters))
            self._characters.append(texts)
            before = texts

    def earliest(self, data: bytes) -> int:
        """Return where the longest beginning starts that reaches the end; its length if none."""
        earliest = len(data)
        for size in range(1, min(self._ending_max, len(data)) + 1):
            ending = data[-size:]
            if ending in self._begun_first:
                earliest = min(earliest, len(data) - size)
            for number in self._places.get(ending, ()):
                starts = self._starts(data, len(data) - size + 1, number)
                earliest = min(earliest, *starts, earliest)
        return earliest

    def _starts(self, data: bytes, end: int, number: int) -> set[int]:
        """Return where the characters of a form before a number may start if they end at `end`."""
        reached = {end}
        while reached:
            number -= 1
            texts = self._characters[number]
            if not texts:
                break
            reached = {
                position - len(text)
                for position in reached
                for text in texts
                if position >= len(text) and data.endswith(text, 0, position)
            }
        return reached


@lru_cache(maxsize=1024)
def _beginnings(texts: Texts) -> frozenset[bytes]:
    """Return the proper beginnings of texts, the empty one too."""
    return frozenset(text[:size] for text in texts for size in range(len(text)))
