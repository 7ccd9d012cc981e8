"""Retention: output that is older or more than it may be goes, a little at a time."""

import asyncio
import logging
import time
from typing import Final

from api import wire
from api.ledger import Ledger
from domain import commands
from domain.errors import Refusal
from projections import erasing
from projections.erasing import Due
from store.work import Work

_log = logging.getLogger(__name__)

ACTOR: Final = "server:retention"
# What goes in one transaction, which others wait for: so many executions, or so many bytes.
_BATCH_EXECUTIONS: Final = 50
_BATCH_BYTES: Final = 8 * 1024 * 1024
_PAUSE_SECONDS: Final = 0.1


class Retention:
    """Erases the output that is due, as anyone would: by commands, which the rules judge.

    Several servers may do so at once: what one has erased, the other finds erased.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._next = 0.0
        self.erased = 0

    async def look(self) -> None:
        """Look whether it is time, and if so erase everything that is due."""
        settings = self._ledger.settings
        if settings.retention.is_none or time.monotonic() < self._next:
            return
        while due := await erasing.due(self._ledger.pool, settings.retention):
            before = self.erased
            for batch in batches(due):
                await self._erase(batch)
                await asyncio.sleep(_PAUSE_SECONDS)
            if self.erased == before:
                break  # what cannot be erased now is looked at again next time
        self._next = time.monotonic() + settings.retention_seconds

    async def _erase(self, batch: list[Due]) -> None:
        works = [
            Work(
                commands.Erase(
                    at=wire.now(),
                    by=ACTOR,
                    command_id=self._ledger.new_id(),
                    execution_id=one.execution_id,
                    reason="retention",
                    output=True,
                )
            )
            for one in batch
        ]
        submits = (self._ledger.appender.submit(work) for work in works)
        for one, verdict in zip(
            batch, await asyncio.gather(*submits, return_exceptions=True), strict=True
        ):
            if isinstance(verdict, Refusal):
                # One that this version cannot read stays as it is.
                _log.warning("cannot erase the output of %s: %s", one.execution_id, verdict)
            elif isinstance(verdict, BaseException):
                raise verdict
            else:
                self.erased += verdict.changed


def batches(due: list[Due]) -> list[list[Due]]:
    """Return what goes in one transaction each."""
    found: list[list[Due]] = []
    size = 0
    for one in due:
        if not found or len(found[-1]) == _BATCH_EXECUTIONS or size + one.bytes > _BATCH_BYTES:
            found.append([])
            size = 0
        found[-1].append(one)
        size += one.bytes
    return found
