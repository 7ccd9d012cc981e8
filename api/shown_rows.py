"""Executions as lists show them, in JSON: made once for those that have ended."""

from datetime import datetime
from uuid import UUID

import msgspec

from api import answers, rendering
from projections.queries import View


class ShownRows:
    """Remembers the JSON of executions that were shown last.

    What is remembered is used only for a view that is equal in all parts to the one that it was
    made of, so that nothing need be forgotten when something changes.
    """

    def __init__(self, most: int = 2000) -> None:
        self._most = most
        self._kept: dict[UUID, tuple[View, msgspec.Raw]] = {}

    def json(self, view: View, now: datetime) -> msgspec.Raw:
        """Return an execution as lists show it."""
        kept = self._kept.get(view.row.id)
        if kept is not None and kept[0] == view:
            return kept[1]
        shown = msgspec.Raw(answers.encoded(rendering.execution(view, now)))
        # How long it has been running is another answer each time.
        if view.row.completed_at is not None:
            self._kept.pop(view.row.id, None)
            if len(self._kept) >= self._most:
                self._kept.pop(next(iter(self._kept)))
            self._kept[view.row.id] = (view, shown)
        return shown
