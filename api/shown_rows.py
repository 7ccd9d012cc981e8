"""Lists as they are shown: JSON, made once for each version of an execution."""

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from msgspec import Struct

from api import answers, rendering, wire
from api.joint_reads import JointReads
from api.parameters import ListQuery
from projections.executions import Row
from projections.lists import Lists
from projections.queries import Listed, Page, Version

_DURATION = b'"duration_ms":'


class Shown(Struct, frozen=True):
    """An execution as lists show it: JSON, in one part or around how long it has been running."""

    version: Version
    before: bytes
    running: Row | None
    after: bytes

    def json(self, now: datetime) -> bytes:
        """Return it as it is now."""
        if self.running is None:
            return self.before
        return b"%b%d%b" % (self.before, rendering.duration_ms(self.running, now), self.after)


class ShownRows:
    """Remembers executions that were shown last, each in the version that it was shown in.

    What is remembered is used only for this very version, so that nothing need be forgotten when
    something changes.
    """

    def __init__(self, most: int = 2000) -> None:
        self._most = most
        self._kept: dict[UUID, Shown] = {}

    def known(self, version: Version) -> Shown | None:
        """Return what was shown of this version, None if that is not known."""
        kept = self._kept.get(version.id)
        return kept if kept is not None and kept.version == version else None

    def shown(self, rows: Iterable[Listed | Shown], now: datetime) -> list[Shown]:
        """Return a page as it is shown, and remember what is new in it."""
        return [
            row if isinstance(row, Shown) else self.known(row.version) or self._made(row, now)
            for row in rows
        ]

    def _made(self, listed: Listed, now: datetime) -> Shown:
        json = answers.encoded(rendering.execution(listed.view, now))
        row = listed.view.row
        if row.started_at is not None and row.duration_ms is None:
            head, name, rest = json.partition(_DURATION)
            made = Shown(listed.version, head + name, row, rest[rest.index(b",") :])
        else:
            made = Shown(listed.version, json, None, b"")
        self._kept.pop(row.id, None)
        if len(self._kept) >= self._most:
            self._kept.pop(next(iter(self._kept)))
        self._kept[row.id] = made
        return made


class ShownLists:
    """Answers list requests; the same list is read once for all who ask for it meanwhile."""

    def __init__(self, lists: Lists) -> None:
        self._lists = lists
        self._rows = ShownRows()
        self._pages = JointReads(self._read)

    async def page(self, asked: ListQuery) -> Page[Shown]:
        """Return a page as it stands after it was asked for."""
        return await self._pages.answer(asked)

    async def _read(self, asked: ListQuery) -> Page[Shown]:
        page = await self._lists.page_beside(
            self._rows.known, asked.chosen, limit=asked.limit, offset=asked.offset
        )
        return Page(
            self._rows.shown(page.rows, wire.now()),
            page.has_more,
            page.total,
            page.total_is_exact,
        )
