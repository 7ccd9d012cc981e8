"""Which Cronledger this is."""

from __future__ import annotations


def version() -> str | None:
    """Return the version that is installed, None if it runs from a bare checkout."""
    from importlib import metadata  # noqa: PLC0415 - takes 30 ms

    try:
        return metadata.version("cronledger")
    except metadata.PackageNotFoundError:
        return None
