"""Running ledgers without HTTP, and the works that tests hand to them."""

import contextlib
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from api.app import create_ledger, running
from api.ledger import Ledger
from api.settings import Settings
from tests.support.postgres import Database


@contextlib.asynccontextmanager
async def running_ledger(database: Database, **settings: Any) -> AsyncIterator[Ledger]:
    """Run a ledger as a server does: pool, writer, sweep, listener, housekeeping."""
    with tempfile.TemporaryDirectory(prefix="ledger-") as folder:
        home = Path(folder)
        ledger = create_ledger(
            Settings(home=home, **settings), database.conninfo, database.ledger_id, database.keys
        )
        async with running(ledger, database.conninfo, home / "head"):
            yield ledger
