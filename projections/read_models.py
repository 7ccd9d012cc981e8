"""The read models, in one place, and what each of them must be able to do.

A read model is a pure function of the state of every execution or job: of the last one, and of the
position at which it came to be. Three ways lead to its rows, over the same fold:

* **inline**: the appender hands over what a batch changed (`statement` with `parameters`), in the
  transaction of the events;
* **rebuild** (rebuild.py): all streams are folded into empty tables, then swapped in;
* **verify** (verify.py): all streams are folded again, and compared with the rows that stand there.

To add one: write a class like `executions.Executions`, put it into `READ_MODELS`, and make its
tables in a migration, with a row ``(name, version, 0)`` in ``read.projections``. On a ledger that
has events `cronledger rebuild` fills them; a distance of a few thousand events the writer bridges
by itself (store/changes.py). A changed read model gets a new version and new tables; those of the
old one stay, and are written, for as long as servers run that read them.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Protocol, TypeAlias

import psycopg
from msgspec import Struct

from domain.streams import State
from projections.executions import Executions
from projections.jobs import Jobs
from projections.passed_times import PassedTimesTable
from projections.statistics import Statistics
from projections.totals import Totals
from store import changes
from store.changes import Change
from store.columns import Parameters
from store.database import NotReady

# The name of a table, and one of its rows.
TableRow: TypeAlias = tuple[str, Struct]


class Refold(Protocol):
    """One pass over the whole history, into rows."""

    def take(self, state: State, position: int) -> Iterable[TableRow]:
        """Take one execution or job in its last state, which it has since `position`.

        Called once for each stream, in ascending order of ids, which for executions is the order
        of their creation; what it is no model of, it passes by. Returns the rows that are complete
        now: at once one for a table of executions, those of an interval once an execution of a
        later one comes, none for a counter. Rows of a table come in ascending order of its primary
        key, and each key once.
        """
        ...

    def join(self, later: Any) -> None:
        """Take over what another pass of the same kind, over later executions, has gathered.

        A pass may be made in parts, each in a process of its own (so it must be picklable). Rows
        that executions of the other part may belong to - those of the first and of the last
        interval - are therefore held back by `take`, and returned by `rest`.
        """
        ...

    def rest(self) -> Iterable[TableRow]:
        """Return the rows that could not be complete before the last execution was taken.

        They are those that the inline write would have left: a counter that came back to 0 is
        either in both or in neither. A table with one row a stream, by its id, has none here:
        verify compares those in step with the streams.
        """
        ...


class ReadModel(Protocol):
    """Tables that answer questions, written with the events.

    `tables` names each table (in the schema ``read``, with the version in its name) and the Struct
    of its rows, whose fields are the columns, all of them; a ``bytea`` is hexadecimal text in the
    Struct. `statement` writes what a batch changed; that the row of `name` and `version` in
    ``read.projections`` moves is seen to elsewhere. It names tables always as ``read.TABLE``, since
    a rebuild runs it on tables of another schema.
    """

    @property
    def name(self) -> str:
        """What it is called."""
        ...

    @property
    def version(self) -> int:
        """Raised with every change of its tables or of its fold."""
        ...

    @property
    def tables(self) -> Mapping[str, type[Struct]]:
        """Its tables and their rows."""
        ...

    @property
    def statement(self) -> str:
        """The statement of the inline write."""
        ...

    def parameters(self, changes: Sequence[Change]) -> Parameters | None:
        """Return the statement's parameters for what changed, None if it writes nothing of it.

        They are in binary format, in which JSON is the same as in text.
        """
        ...

    def refold(self) -> Refold:
        """Begin a pass over the whole history."""
        ...


READ_MODELS: Final[tuple[ReadModel, ...]] = (
    Executions(),
    Totals(),
    Statistics(),
    Jobs(),
    PassedTimesTable(),
)


def check(conninfo: str, models: Sequence[ReadModel] = READ_MODELS) -> None:
    """Raise `NotReady` unless a server's writer can bring these read models up to the log."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        positions, head = changes.stand(connection)
    try:
        changes.behind(models, positions, head)
    except changes.OutOfStep as error:
        raise NotReady(str(error)) from error
