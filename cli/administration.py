"""What commands that work on the database itself have in common: their settings and failures."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from cli.home import default_home
from cli.usage import UsageError

if TYPE_CHECKING:
    from api.settings import Settings

_UNREACHABLE_EXIT = 3


def with_settings(home: Path | None, work: Callable[[Settings], int]) -> int:
    """Do the work of a command with the server's settings; a failure is a sentence and a code."""
    import psycopg  # noqa: PLC0415 - not for --help

    from api.settings import SettingsError, load  # noqa: PLC0415
    from store.database import NotReady  # noqa: PLC0415
    from store.embedded import EmbeddedError  # noqa: PLC0415
    from store.keys import WrongKey  # noqa: PLC0415
    from store.witness import HistoryLost  # noqa: PLC0415

    try:
        return work(load(home or default_home()))
    except SettingsError as error:
        raise UsageError(str(error)) from error
    except (NotReady, WrongKey, HistoryLost, EmbeddedError, OSError) as error:
        if isinstance(error, BrokenPipeError):
            raise
        print(f"cronledger: {error}", file=sys.stderr)
    except psycopg.OperationalError as error:
        print(f"cronledger: the database cannot be used: {error}", file=sys.stderr)
    return _UNREACHABLE_EXIT
