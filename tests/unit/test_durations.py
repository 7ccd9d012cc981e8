"""Classes of durations: in order, without a gap, and never far from the truth."""

from hypothesis import given
from hypothesis import strategies as st

from projections import durations
from tests.support import counted

MILLISECONDS = st.integers(0, 1 << 53)


@given(MILLISECONDS)
def test_the_middle_of_a_class_is_within_an_eighth(milliseconds: int) -> None:
    """A duration told by its class is off by 12.5 % at most, and exact below 8 ms."""
    middle = durations.middle_of(durations.class_of(milliseconds))
    assert abs(middle - milliseconds) <= milliseconds / 8
    assert milliseconds >= 8 or middle == milliseconds


@given(MILLISECONDS)
def test_classes_are_in_the_order_of_durations(milliseconds: int) -> None:
    """The next millisecond is in the same class or in the next one."""
    step = durations.class_of(milliseconds + 1) - durations.class_of(milliseconds)
    assert step in (0, 1)


@given(st.integers(0, 10**9))
def test_classes_are_those_of_a_plain_count(milliseconds: int) -> None:
    """Walking up class by class leads to the same one."""
    assert durations.class_of(milliseconds) == counted.duration_class(milliseconds)


@given(st.lists(st.integers(0, 10**7), min_size=1), st.sampled_from([0.5, 0.95, 1.0]))
def test_a_percentile_is_within_an_eighth_of_the_true_one(took: list[int], share: float) -> None:
    """Of any durations, the nearest-rank percentile is off by 12.5 % at most."""
    ordered = sorted(took)
    true = next(one for n, one in enumerate(ordered, 1) if n >= share * len(ordered))
    counts = [(durations.class_of(one), 1) for one in took]
    said = durations.percentile(counts, share, ordered[-1])
    assert said is not None
    assert abs(said - true) <= true / 8


def test_of_what_never_ran_there_is_no_percentile() -> None:
    """Executions that were canceled before they began took no time, not 0 ms."""
    assert durations.percentile([(durations.NEVER_RAN, 5)], 0.5, 0) is None
