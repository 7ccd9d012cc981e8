"""Texts that can be erased, as events speak of them."""

from typing import Literal, TypeAlias, final

from msgspec import Struct

ErasureReason: TypeAlias = Literal["requested", "secret", "personal_data", "retention"]


@final
class BodyDigest(Struct, frozen=True, gc=False):
    """What an event says of a piece of text that is kept outside: its length and salted SHA-256."""

    bytes: int
    sha256: str
