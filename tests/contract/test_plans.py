"""What a list costs: pages touched, on a table with very uneven data, whatever is known of it.

The statements are those of the server, planned on a connection of the server: nothing is switched
for the tests. The same limits hold for a plan that was made while the table was empty, for a table
of which there are no statistics, and for one whose statistics tell of other data.
"""

import asyncio
import functools
import itertools
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from msgspec import json, structs

from projections import as_of, lists
from projections.list_plans import MERGED_MAX, Plan, plan
from projections.queries import Filter
from store.roundtrip import RoundTrips
from tests.support.postgres import Database, Postgres

ROWS = 40_000
LIMIT = 50
# Joins of the texts of a page come on top: three look-ups of about three pages for each row.
PAGES_MAX = 12 * (LIMIT + 1)
# Before PostgreSQL 18 a stretch that is shorter than a page costs entries of its neighbours (see
# stretch_before_18.sql), each with a look-up while the table is not vacuumed: 727 pages at most.
PAGES_MAX_BEFORE_18 = 15 * (LIMIT + 1)
DEEP = 2000
# 48 hours of two statuses with three rows each, of a year that is counted.
HOURS_PAGES_MAX = 40
START_MS = 1_700_000_000_000

_SEED = """
INSERT INTO read.executions_1 (id, position, version, attempt, status, triggered_by, job_id,
                               configuration, root_id)
SELECT id, n, 3, 1,
       CASE WHEN {even} THEN 'success'
            WHEN n %% 10000 = 0 THEN 'timeout' WHEN n %% 20 = 0 THEN 'failed' ELSE 'success' END,
       CASE WHEN {even} THEN 'scheduled'
            WHEN n %% 5000 = 0 THEN 'retry' WHEN n %% 10 = 0 THEN 'manual' ELSE 'scheduled' END,
       CASE WHEN NOT {even} AND n %% 10 = 0 THEN 'job-' || n %% 500 ELSE 'busy' END,
       '\\x00', id
FROM (SELECT n, (lpad(to_hex(1700000000000 + n * 1000), 12, '0') || '7000' || '8000'
                 || lpad(to_hex(n), 12, '0'))::uuid AS id
      FROM generate_series({first}, {last}) AS n) AS made
"""

_COUNTED = """
INSERT INTO read.statistics_{interval}s_1
SELECT starts_at, job_id, status, class, 100 * {hours}, 1, starts_at
FROM generate_series('2025-01-01'::timestamptz, '2025-12-31 23:00', '1 {interval}') AS starts_at,
     unnest('{{"",busy,rare}}'::text[]) AS job_id,
     unnest('{{success,failed}}'::text[]) AS status, generate_series(1, 3) AS class
ORDER BY starts_at
"""


def moment(row: int) -> datetime:
    """When the row of this number was created."""
    return datetime.fromtimestamp((START_MS + row * 1000) / 1000, UTC)


FILTERS = [
    Filter(
        job_id=job,
        status=status,
        triggered_by=trigger,
        created_from=window[0],
        created_to=window[1],
    )
    for job, status, trigger, window in itertools.product(
        ((), ("busy",), ("job-10",), ("busy", "job-10", "nobody's")),
        ((), ("success",), ("timeout",), ("failed", "timeout")),
        ((), ("scheduled",), ("retry",)),
        ((None, None), (moment(ROWS // 4), moment(ROWS // 2))),
    )
]


def of_seconds(chosen: Filter) -> Filter:
    """The filter, for what was created in some seconds in the midst."""
    return structs.replace(chosen, created_from=moment(ROWS // 2), created_to=moment(ROWS // 2 + 3))


class Session:
    """A connection of the server that lists, on a loop of its own."""

    def __init__(self, database: Database) -> None:
        self._conninfo = database.conninfo
        with database.as_owner() as connection:
            self._server_version = connection.info.server_version
        self.pages_max = PAGES_MAX_BEFORE_18 if self._server_version < 180000 else PAGES_MAX
        self._runner = asyncio.Runner()
        self._trips: RoundTrips = self._runner.run(lists.connect(database.conninfo))
        self._numbers = itertools.count()

    def pages(self, name: str, parameters: tuple[bytes, ...]) -> int:
        """The pages that a statement touches with these parameters."""
        top = self._explained(name, parameters)
        return int(top["Shared Hit Blocks"]) + int(top["Shared Read Blocks"])

    def read(self, name: str, parameters: tuple[bytes, ...]) -> int:
        """The executions that a statement reads with these parameters, whether it takes them."""
        return _read(self._explained(name, parameters))

    def read_of_past(self, chosen: Filter, look_ups: int) -> int:
        """The executions that a list of the past reads for these look-ups, if none was there."""
        candidates = as_of.candidates_of(chosen, None, self._server_version)
        statement = f"EXPLAIN (ANALYZE, FORMAT JSON) {as_of.statement_of(candidates)}"
        with psycopg.connect(self._conninfo) as connection:
            connection.execute(as_of.PLANNING)
            cursor = psycopg.RawCursor(connection)
            cursor.execute(statement.encode(), [look_ups, 0, *candidates.values, 1, LIMIT])
            ((answer,),) = cursor.fetchall()
        return _read(answer[0]["Plan"])

    def found(self, name: str, parameters: tuple[bytes, ...]) -> list[bytes | None]:
        """The ids that a statement finds, in its order."""
        return self._runner.run(self._ids(name.encode(), parameters))

    async def _ids(self, name: bytes, parameters: tuple[bytes, ...]) -> list[bytes | None]:
        self._trips.send(name, parameters)
        (answer,) = await self._trips.answers()
        return [answer.get_value(row, 0) for row in range(answer.ntuples)]

    def learn(self, statements: dict[bytes, str]) -> None:
        """Know these statements too."""
        self._runner.run(self._trips.prepare(statements))

    def _explained(self, name: str, parameters: tuple[bytes, ...]) -> Any:
        said = ", ".join("'" + one.decode().replace("'", "''") + "'" for one in parameters)
        explained = f'EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE "{name}" ({said})'
        return self._runner.run(self._answer(b"explain %d" % next(self._numbers), explained))

    async def _answer(self, name: bytes, statement: str) -> Any:
        await self._trips.prepare({name: statement})
        self._trips.send(name)
        (answer,) = await self._trips.answers()
        value = answer.get_value(0, 0)
        assert value is not None
        return json.decode(value)[0]["Plan"]

    def close(self) -> None:
        """Disconnect."""
        self._runner.run(self._trips.close())
        self._runner.close()


def _read(node: Any) -> int:
    rows = node["Actual Rows"] + node.get("Rows Removed by Filter", 0)
    own = rows * node["Actual Loops"] if node.get("Relation Name") == "executions_1" else 0
    return round(own) + sum(_read(one) for one in node.get("Plans", ()))


def page_of(session: Session, planned: Plan, *, order: str = "newest", skip: int = 0) -> int:
    """The pages that one page of the list touches."""
    parameters = (b"%d" % (LIMIT + 1), b"%d" % skip, *planned.listed)
    return session.pages(f"{order} of {planned.shape}", parameters)


def read_before(session: Session, planned: Plan, *, order: str) -> int:
    """The executions that a deep page of the list reads, those of the page apart."""
    parameters = (b"%d" % LIMIT, b"%d" % DEEP, *planned.listed[:2], *(planned.merged or ()))
    return -LIMIT + session.read(f"{order} of {planned.shape}, deep", parameters)


@pytest.fixture(scope="module")
def states(postgres: Postgres) -> Iterator[dict[str, Callable[[], Session]]]:
    """One read model, brought from one state of what is known of it to the next, in order."""
    made = postgres.fresh()
    sessions: list[Session] = []

    def session() -> Session:
        sessions.append(Session(made))
        return sessions[-1]

    with made.as_owner() as connection:

        def seed(first: int, last: int, *, even: bool) -> None:
            statement = _SEED.format(first=first, last=last, even=str(even).lower())
            connection.execute(statement.replace("%%", "%").encode())

        for interval, hours in (("hour", 1), ("day", 24)):
            connection.execute(_COUNTED.format(interval=interval, hours=hours).encode())
        connection.execute("ALTER TABLE read.executions_1 SET (autovacuum_enabled = off)")

        @functools.cache
        def planned_when_empty() -> Session:
            early = session()
            for chosen in FILTERS:
                page_of(early, planned := plan(chosen))
                if planned.merged is not None:
                    read_before(early, planned, order="newest")
            seed(1, ROWS // 4, even=True)
            seed(ROWS // 4 + 1, ROWS, even=False)
            return early

        def of_other_data() -> Session:
            connection.execute("TRUNCATE read.executions_1")
            seed(1, ROWS // 4, even=True)
            connection.execute("ANALYZE read.executions_1")
            seed(ROWS // 4 + 1, ROWS, even=False)
            return session()

        def up_to_date() -> Session:
            connection.execute("VACUUM ANALYZE read.executions_1")
            return session()

        yield {
            "a plan made when it was empty": planned_when_empty,
            "no statistics": session,
            "statistics of other data": of_other_data,
            "true statistics": up_to_date,
        }
    for one in sessions:
        one.close()
    postgres.drop(made)


def filled(states: dict[str, Callable[[], Session]]) -> Session:
    """A session on the table with its rows, whichever test comes first."""
    states["a plan made when it was empty"]()
    return states["no statistics"]()


def test_every_combination_of_filters_touches_few_pages(
    states: dict[str, Callable[[], Session]],
) -> None:
    """Whatever is known of uneven data, a list touches a small constant of pages a row.

    And a deep page merges the stretches of its filter: it reads no more entries than come before.
    """
    costly = []
    for state, enter in states.items():
        session = enter()
        for chosen in FILTERS:
            planned = plan(chosen)
            for order in ("newest", "oldest", "versions"):
                touched = page_of(session, planned, order=order)
                if touched > session.pages_max:
                    costly.append((state, order, touched, chosen))
                if planned.merged is not None and order != "versions":
                    read = read_before(session, planned, order=order)
                    if read > DEEP + LIMIT + MERGED_MAX:
                        costly.append((state, f"{order}, merged", read, chosen))
    assert costly == []


def test_a_list_of_the_past_reads_no_more_than_it_looks_up(
    states: dict[str, Callable[[], Session]],
) -> None:
    """Whatever is known of the data, executions recorded later are read as far as they may be."""
    look_ups = 4 * LIMIT
    costly = []
    for state, enter in states.items():
        session = enter()
        for chosen in FILTERS:
            if chosen.status:
                continue  # it is no condition of these statements
            read = session.read_of_past(chosen, look_ups)
            if read > look_ups * plan(chosen).stretches:
                costly.append((state, read, chosen))
    assert costly == []


def test_hours_are_read_from_one_end(states: dict[str, Callable[[], Session]]) -> None:
    """What is counted by the hour is read no further than a page that lies within two days."""
    session = filled(states)
    for order in ("newest", "oldest"):
        touched = session.pages(f"{order} hours", (b"5000", b"", b'{"success","failed"}'))
        assert 0 < touched < HOURS_PAGES_MAX


def test_the_measure_can_fail(states: dict[str, Callable[[], Session]]) -> None:
    """Far from the end, the same measure finds what skipping costs."""
    session = filled(states)
    assert page_of(session, plan(Filter(job_id=("busy",))), skip=3 * ROWS // 4) > session.pages_max


def test_a_deep_cursor_touches_no_more_than_the_first_page(
    states: dict[str, Callable[[], Session]],
) -> None:
    """Half-way through the table a cursor costs what it costs at the beginning."""
    session = filled(states)
    before = plan(Filter(created_to=moment(ROWS // 2))).listed[1]
    for chosen in FILTERS:
        planned = plan(chosen)
        lowest, _, *values = planned.listed
        deep = session.pages(
            f"newest of {planned.shape}", (b"%d" % (LIMIT + 1), b"0", lowest, before, *values)
        )
        assert deep <= session.pages_max, chosen


def test_what_lies_around_a_short_stretch_is_not_read(
    states: dict[str, Callable[[], Session]],
) -> None:
    """Some seconds in the midst cost less than half a page, whatever is before and after them."""
    session = filled(states)
    for chosen in FILTERS:
        planned = plan(of_seconds(chosen))
        for order in ("newest", "oldest", "versions"):
            assert page_of(session, planned, order=order) <= PAGES_MAX // 2, chosen


def test_older_servers_are_asked_otherwise_and_find_the_same(
    states: dict[str, Callable[[], Session]],
) -> None:
    """What PostgreSQL before 18 is asked finds the same page, at a cost that has a limit too."""
    session = filled(states)
    older, newer = (lists.statements(version) for version in (150000, 180000))
    changed = [name for name, text in newer.items() if older[name] != text]
    for age, those in (("older", older), ("newer", newer)):
        session.learn({f"{age} {name.decode()}".encode(): those[name] for name in changed})
    for chosen in (*FILTERS, *map(of_seconds, FILTERS)):
        planned = plan(chosen)
        for name in (f"{order} of {planned.shape}" for order in ("newest", "oldest")):
            if name.encode() in changed:
                parameters = (b"%d" % (LIMIT + 1), b"3", *planned.listed)
                older_found = session.found(f"older {name}", parameters)
                assert older_found == session.found(f"newer {name}", parameters), chosen
                assert session.pages(f"older {name}", parameters) <= PAGES_MAX_BEFORE_18
    assert len(changed) == 4 * 3
