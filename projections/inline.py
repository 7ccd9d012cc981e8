"""The read models that are written in the transaction of the events, all of them, in one place."""

from projections.executions import InlineExecutions
from store.appender import Projection


def inline() -> list[Projection]:
    """Return them anew, for one writer."""
    return [InlineExecutions()]
