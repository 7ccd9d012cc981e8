"""What commands that work on the database itself have in common: their settings and failures."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from cli.home import default_home
from cli.usage import REFUSED_EXIT, UNREACHABLE_EXIT, UsageError, sentence

if TYPE_CHECKING:
    from api.settings import Settings


def with_settings(
    home: Path | None,
    work: Callable[[Settings], int],
    *,
    database_url: str | None = None,
    owner_database_url: str | None = None,
    file_exit: int = REFUSED_EXIT,
) -> int:
    """Do the work of a command with the server's settings; a failure is a sentence and a code.

    `file_exit` is that of a file that cannot be read or written.
    """
    import psycopg  # noqa: PLC0415 - not for --help

    from api.bootstrap import NoLedger  # noqa: PLC0415
    from api.settings import SettingsError, load  # noqa: PLC0415
    from store.database import NotReady  # noqa: PLC0415
    from store.embedded import EmbeddedError  # noqa: PLC0415
    from store.keys import WrongKey  # noqa: PLC0415
    from store.witness import HistoryLost  # noqa: PLC0415

    try:
        settings = load(
            home or default_home(),
            database_url=database_url,
            owner_database_url=owner_database_url,
        )
        return work(settings)
    except SettingsError as error:
        raise UsageError(str(error)) from error
    except psycopg.errors.UndefinedTable:
        return _fail("there is no ledger in this database", UNREACHABLE_EXIT)
    except (NoLedger, NotReady, WrongKey, HistoryLost, EmbeddedError) as error:
        return _fail(str(error), UNREACHABLE_EXIT)
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        return _fail(sentence(error), file_exit)
    except psycopg.Error as error:
        return _fail(f"the database cannot be used: {error}", UNREACHABLE_EXIT)


def _fail(said: str, code: int) -> int:
    print(f"cronledger: {said}", file=sys.stderr)
    return code
