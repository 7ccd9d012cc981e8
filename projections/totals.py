"""The read model behind totals: how many executions there are of each job, status and trigger.

One row a job with a count for each status and trigger, and one row of all jobs. A batch writes each
row once, whatever it changed, and rows are written under the append lock: nobody waits for them.
"""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, get_args

from msgspec import Struct

from domain.events import TriggeredBy
from domain.execution import Execution, Status
from domain.streams import State
from projections import sql
from store.changes import Change
from store.columns import Columns, Parameters

TABLE: Final = "totals_1"
# No job has this name.
ALL_JOBS: Final = ""
_STATEMENT: Final = sql.named("add_totals")
_COLUMNS: Final = Columns(_STATEMENT)
_NOTHING: Final = (None,)


class Row(Struct, frozen=True, gc=False):
    """One row of ``read.totals_1``: a job, and its counts by status and trigger."""

    job_id: str
    pending_scheduled: int = 0
    pending_manual: int = 0
    pending_retry: int = 0
    running_scheduled: int = 0
    running_manual: int = 0
    running_retry: int = 0
    success_scheduled: int = 0
    success_manual: int = 0
    success_retry: int = 0
    failed_scheduled: int = 0
    failed_manual: int = 0
    failed_retry: int = 0
    timeout_scheduled: int = 0
    timeout_manual: int = 0
    timeout_retry: int = 0
    canceled_scheduled: int = 0
    canceled_manual: int = 0
    canceled_retry: int = 0


STATUSES: Final[tuple[Status, ...]] = get_args(Status)
TRIGGERS: Final[tuple[TriggeredBy, ...]] = get_args(TriggeredBy)
# Where the count of a status and trigger stands in a row, after the job.
PLACES: Final = {
    pair: number for number, pair in enumerate(itertools.product(STATUSES, TRIGGERS), 1)
}


class Totals:
    """The read model of totals, as `projections.read_models` describes one; also its refold."""

    name = "totals"
    version = 1
    tables: Final[Mapping[str, type[Struct]]] = {TABLE: Row}
    statement = _STATEMENT

    def __init__(self) -> None:
        self._counts: dict[str, list[int]] = {}

    def parameters(self, changes: Sequence[Change]) -> Parameters | None:
        """Return the parameters of the statement: what is added to each row."""
        added = Totals()
        for change in changes:
            before, after = change.before, change.after
            if not isinstance(after, Execution):
                continue
            if isinstance(before, Execution):
                if before.status == after.status:
                    continue
                added._count(before, -1)
            added._count(after, 1)
        if not added._counts:
            return None
        jobs = sorted(added._counts)
        counts = zip(*[added._counts[job_id] for job_id in jobs], strict=True)
        return _COLUMNS([jobs, *(one if any(one) else _NOTHING for one in counts)])

    def refold(self) -> "Totals":
        """Return counters that stand at nothing."""
        return Totals()

    def take(self, state: State, position: int) -> Iterable[tuple[str, Struct]]:  # noqa: ARG002 - of the protocol
        """Count one execution; no row is complete before the last one."""
        if isinstance(state, Execution):
            self._count(state, 1)
        return ()

    def join(self, later: "Totals") -> None:
        """Add what another pass has counted."""
        for job_id, counts in later._counts.items():  # noqa: SLF001 - its own kind
            mine = self._counts.setdefault(job_id, [0] * len(PLACES))
            self._counts[job_id] = [one + other for one, other in zip(mine, counts, strict=True)]

    def rest(self) -> Iterable[tuple[str, Struct]]:
        """Return all rows."""
        return ((TABLE, row) for row in self._rows())

    def _count(self, state: Execution, number: int) -> None:
        place = PLACES[state.status, state.triggered_by] - 1
        for job_id in (ALL_JOBS, state.job_id):
            counts = self._counts.get(job_id)
            if counts is None:
                counts = self._counts[job_id] = [0] * len(PLACES)
            counts[place] += number

    def _rows(self) -> list[Row]:
        return [Row(job_id, *self._counts[job_id]) for job_id in sorted(self._counts)]
