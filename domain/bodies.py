"""Texts that can be erased, as events speak of them."""

from typing import final

from msgspec import Struct


@final
class BodyDigest(Struct, frozen=True):
    """What an event says of a piece of text that is kept outside: its length and salted SHA-256."""

    bytes: int
    sha256: str
