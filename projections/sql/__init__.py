"""The named statements of the projections, in files that people read."""

from functools import cache
from importlib import resources


@cache
def named(name: str) -> str:
    """Return the text of the statement `name`."""
    return resources.files(__name__).joinpath(f"{name}.sql").read_text("utf-8")
