"""Named tuples for what `exec` waits for: those of the module `typing` take longer to import.

To a type checker they are `typing.NamedTuple`, and they do what is used of it here.
"""

from __future__ import annotations

from _operator import itemgetter  # `operator` is this, and much more in Python

__all__ = ["Record"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any
    from typing import NamedTuple as Record
else:

    class Record(tuple):
        """A tuple whose members have the names, and the defaults, that its class writes down."""

        __slots__ = ()

        def __init_subclass__(cls) -> None:
            cls._fields = tuple(cls.__annotations__)
            cls._defaults = {
                name: cls.__dict__[name] for name in cls._fields if name in cls.__dict__
            }
            for index, name in enumerate(cls._fields):
                setattr(cls, name, property(itemgetter(index)))

        def __new__(cls, *values: Any, **named: Any) -> Any:
            """Take the members in their order or by their names. Raises TypeError."""
            rest = cls._fields[len(values) :]
            if len(values) > len(cls._fields) or not named.keys() <= set(rest):
                raise TypeError(f"{cls.__name__} has the members {', '.join(cls._fields)}")
            given = {**cls._defaults, **named}
            try:
                return tuple.__new__(cls, (*values, *(given[name] for name in rest)))
            except KeyError as error:
                raise TypeError(f"{cls.__name__} needs {error.args[0]}") from None

        def __repr__(self) -> str:
            shown = ", ".join(f"{name}={value!r}" for name, value in self._asdict().items())
            return f"{type(self).__name__}({shown})"

        def __getnewargs__(self) -> tuple:
            return tuple(self)

        def _asdict(self) -> dict[str, Any]:
            return dict(zip(self._fields, self))  # noqa: B905 - not known to Python 3.9

        def _replace(self, **named: Any) -> Any:
            return type(self)(**{**self._asdict(), **named})
