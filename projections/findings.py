"""What verify finds: counted by kind, the first ones kept word for word."""

import re
from datetime import datetime
from typing import Final
from uuid import UUID

from msgspec import Struct, field

from domain import ids

SHOWN_MAX: Final = 100
# A UUIDv7, as the database writes it: of what verify speaks of, only executions have such ids, and
# due times on which nothing ran, which have those of the executions that they would have made.
_EXECUTION: Final = re.compile(
    r"\b[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\b"
)


class Finding(Struct, frozen=True):
    """One thing that is not as it must be.

    `kind` groups findings, in a word or two; `subject` says where (a position, an execution, a
    key); `detail` says what is wrong there.
    """

    kind: str
    subject: str
    detail: str


class Findings(Struct):
    """All findings of a part of the work, with the first `SHOWN_MAX` of each kind.

    `erased` counts bodies that were erased as recorded: they are no findings.
    """

    counts: dict[str, int] = field(default_factory=dict)
    shown: dict[str, list[Finding]] = field(default_factory=dict)
    erased: int = 0

    def add(self, kind: str, subject: object, detail: str) -> None:
        """Note a finding, which names executions as people know them."""
        count = self.counts[kind] = self.counts.get(kind, 0) + 1
        if count <= SHOWN_MAX:
            one = Finding(kind, _as_known(str(subject)), _as_known(detail))
            self.shown.setdefault(kind, []).append(one)

    def join(self, others: "Findings") -> None:
        """Take over what another part of the work has found."""
        for kind, count in others.counts.items():
            self.counts[kind] = self.counts.get(kind, 0) + count
            shown = self.shown.setdefault(kind, [])
            shown += others.shown.get(kind, [])[: SHOWN_MAX - len(shown)]
        self.erased += others.erased


def said(value: object) -> str:
    """Return what a column holds, as it is said in a finding."""
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, UUID) else repr(value)


def _as_known(text: str) -> str:
    return _EXECUTION.sub(lambda found: ids.to_text(ids.EXECUTION, UUID(found[0])), text)
