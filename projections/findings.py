"""What verify finds: counted by kind, the first ones kept word for word."""

from typing import Final

from msgspec import Struct, field

SHOWN_MAX: Final = 100


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
        """Note a finding."""
        count = self.counts[kind] = self.counts.get(kind, 0) + 1
        if count <= SHOWN_MAX:
            self.shown.setdefault(kind, []).append(Finding(kind, str(subject), detail))

    def join(self, others: "Findings") -> None:
        """Take over what another part of the work has found."""
        for kind, count in others.counts.items():
            self.counts[kind] = self.counts.get(kind, 0) + count
            shown = self.shown.setdefault(kind, [])
            shown += others.shown.get(kind, [])[: SHOWN_MAX - len(shown)]
        self.erased += others.erased
