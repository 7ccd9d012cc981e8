"""Which words a field takes, for a sentence that names them: the decoder only says which it was."""

import re
from collections.abc import Iterable
from functools import cache
from typing import Any, Final

from msgspec import inspect

_STEP: Final = re.compile(r"[^.\[\]]+|\[[^\]]*\]")


def at(shape: Any, path: str) -> list[str]:
    """Return the words that the field at a path of the decoder's, as ``retry.on[0]``, may be."""
    kinds = list(_alternatives(_type_info(shape)))
    for step in _STEP.findall(path):
        kinds = [inner for kind in kinds for inner in _within(kind, step)]
    return [
        str(value)
        for kind in kinds
        if isinstance(kind, inspect.LiteralType)
        for value in kind.values
    ]


# A request is wrong as easily as another: its shape is looked through once.
_type_info: Final = cache(inspect.type_info)


def _alternatives(kind: inspect.Type) -> Iterable[inspect.Type]:
    """Return what a value may be, if it may be one of several."""
    if isinstance(kind, inspect.Metadata):
        yield from _alternatives(kind.type)
    elif isinstance(kind, inspect.UnionType):
        for one in kind.types:
            yield from _alternatives(one)
    else:
        yield kind


def _within(kind: inspect.Type, step: str) -> Iterable[inspect.Type]:
    """Return what may stand in a field, or in any place of an array or a map."""
    match kind:
        case inspect.StructType(fields=fields):
            inner = [one.type for one in fields if one.encode_name == step]
        case inspect.VarTupleType(item_type=item) | inspect.ListType(item_type=item):
            inner = [item]
        case inspect.DictType(value_type=value):
            inner = [value]
        case _:
            inner = []
    for one in inner:
        yield from _alternatives(one)
