"""How a filter is answered: by which statement, and with which values."""

import pytest
from msgspec.structs import replace

from domain import ids
from domain.ids import created_at
from projections import totals
from projections.list_plans import Plan, plan
from projections.queries import Filter
from tests.support.calls import execution_id

ID = ids.from_text(ids.EXECUTION, execution_id())


@pytest.mark.parametrize(
    ("chosen", "shape", "values"),
    [
        (Filter(), "all", ()),
        (Filter(status=totals.STATUSES, triggered_by=totals.TRIGGERS), "all", ()),
        (Filter(job_id=("b", "a", "b")), "jobs", (b'{"a","b"}',)),
        (Filter(job_id=('q"\\{,}',)), "jobs", (b'{"q\\"\\\\{,}"}',)),
        (
            Filter(status=("failed",)),
            "statuses",
            (b'{"failed"}', b'{"manual","retry","scheduled"}'),
        ),
        (
            Filter(job_id=("a",), triggered_by=("retry", "manual")),
            "jobs_and_statuses",
            (
                b'{"canceled","failed","pending","running","success","timeout"}',
                b'{"manual","retry"}',
                b'{"a"}',
            ),
        ),
    ],
)
def test_a_filter_has_its_statement(chosen: Filter, shape: str, values: tuple[bytes, ...]) -> None:
    """All values of a column are no filter; some of one name all those of the other."""
    planned = plan(chosen)
    assert (planned.shape, planned.listed[2:]) == (shape, values)
    assert planned.listed == planned.counted
    assert not planned.ranged


def test_times_and_cursors_are_bounds_on_the_id() -> None:
    """A cursor narrows the page and not the total; nobody counts ahead what times choose."""
    assert ID is not None
    moment = created_at(ID)
    planned = plan(Filter(created_from=moment, before=ID))
    lowest = str(ids.lowest_at(moment)).encode()
    assert planned.listed[:2] == (lowest, str(ID).encode())
    assert planned.counted[0] == lowest
    assert planned.counted[1] > planned.listed[1]
    assert planned.ranged
    sooner = plan(Filter(created_to=moment, before=ID))
    assert sooner.listed[1] == lowest < str(ID).encode()


def test_the_counts_that_make_a_total_are_those_of_the_filter() -> None:
    """Each status and trigger of the filter, once, and no other."""

    def columns(planned: Plan) -> set[str]:
        names = totals.Row.__struct_fields__
        return {names[place] for place in planned.places}

    chosen = Filter(status=("failed", "timeout"), triggered_by=("retry",))
    assert columns(plan(chosen)) == {"failed_retry", "timeout_retry"}
    assert len(columns(plan(replace(chosen, status=())))) == 6
    assert len(columns(plan(Filter()))) == 18


def test_stretches_to_be_merged_have_each_a_value_of_each_column() -> None:
    """Few stretches are merged, each of one value of each column; many are read one by one."""
    chosen = Filter(job_id=("b", "a"), status=("failed",), triggered_by=("retry", "manual"))
    assert plan(chosen).merged == (
        b'{"failed","failed","failed","failed"}',
        b'{"manual","manual","retry","retry"}',
        b'{"a","b","a","b"}',
    )
    assert plan(Filter()).merged == ()
    assert plan(replace(chosen, status=(), job_id=("a", "b", "c", "d"))).merged is None


@pytest.mark.parametrize(
    ("chosen", "hours"),
    [
        (Filter(), (b"", b'{"canceled","failed","success","timeout"}')),
        (Filter(job_id=("a",), status=("failed", "running")), (b"a", b'{"failed"}')),
        (Filter(job_id=("a", "b")), None),
        (Filter(status=("pending",), triggered_by=("retry",)), (b"", b"{}")),
        (Filter(created_from=created_at(ID)) if ID else Filter(), None),
        (Filter(before=ID), None),
    ],
)
def test_hours_count_what_ended_of_one_job_or_all(
    chosen: Filter, hours: tuple[bytes, ...] | None
) -> None:
    """Nothing else is counted by the hour: no several jobs, no part of an hour."""
    assert plan(chosen).hours == hours


def test_what_hours_do_not_count_and_what_they_count_besides() -> None:
    """What has not ended is in no hour, and what ended by other triggers is in them too."""
    chosen = Filter(job_id=("a",), status=("failed", "running"), triggered_by=("manual",))
    planned = plan(chosen)
    assert planned.uncounted == replace(chosen, status=("running",))
    assert planned.others == replace(
        chosen, status=("failed",), triggered_by=("scheduled", "retry")
    )
    assert plan(replace(chosen, status=("failed",))).uncounted is None
    assert plan(replace(chosen, status=("running",))).others is None
    assert plan(replace(chosen, triggered_by=())).others is None
