"""Whether each job is watched of which an execution names the schedule that it is expected by."""

from collections.abc import Iterator
from typing import Any, Final

import msgspec
from psycopg import Connection

from projections import sql
from store import configurations

# Few configurations name one: only those are decoded. A variable may have that name too.
_NAMING: Final = """
SELECT digest, body FROM store.configurations
WHERE position(convert_to('"expected_schedule":', 'UTF8') IN body) > 0"""


def unwatched_jobs(connection: Connection[Any]) -> Iterator[tuple[str, str]]:
    """Return subject and detail for each job that is not watched and should be.

    Of an execution whose configuration was erased nobody can say whether it named a schedule.
    """
    digests = list(_with_schedule(connection))
    if digests:
        named = {"digests": digests}
        yield from connection.execute(sql.named("verify_unwatched_jobs").encode(), named)


def _with_schedule(connection: Connection[Any]) -> Iterator[bytes]:
    with connection.cursor("configurations", binary=True) as cursor:
        for digest, body in cursor.execute(_NAMING):
            try:
                if configurations.shown(body).expected_schedule is not None:
                    yield digest
            except (msgspec.MsgspecError, ValueError, RecursionError):
                continue  # a definition, or not what its digest says: that is said elsewhere
