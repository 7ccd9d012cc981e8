"""Ids: TypeIDs as their specification says, UUIDv7s that rise."""

import pickle
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import ids

# The specification's own vectors (jetify-com/typeid, spec/valid.yml) that have a prefix.
VALID = {
    "prefix_0123456789abcdefghjkmnpqrs": "0110c853-1d09-52d8-d73e-1194e95b5f19",
    "prefix_01h455vb4pex5vsknk084sn02q": "01890a5d-ac96-774b-bcce-b302099a8057",
    "prefix_00000000000000000000000000": "00000000-0000-0000-0000-000000000000",
    "prefix_00000000000000000000000001": "00000000-0000-0000-0000-000000000001",
    "prefix_0000000000000000000000000a": "00000000-0000-0000-0000-00000000000a",
    "prefix_0000000000000000000000000g": "00000000-0000-0000-0000-000000000010",
    "prefix_00000000000000000000000010": "00000000-0000-0000-0000-000000000020",
    "prefix_7zzzzzzzzzzzzzzzzzzzzzzzzz": "ffffffff-ffff-ffff-ffff-ffffffffffff",
}
# And those that are none (spec/invalid.yml), with the reason.
INVALID = {
    "upper-case suffix": "prefix_0123456789ABCDEFGHJKMNPQRS",
    "upper-case prefix": "PREFIX_00000000000000000000000000",
    "spaces": "prefix_1234567890123456789012345 ",
    "short suffix": "prefix_1234567890123456789012345",
    "long suffix": "prefix_123456789012345678901234567",
    "hyphens": "prefix_123456789-123456789-123456",
    "letter u": "prefix_ubuuuuuueuuuuuuuuuuuuuuuuu",
    "ambiguous letters": "prefix_ooooooiiiiiiuuuuuuulllllll"[:33],
    "overflow": "prefix_8zzzzzzzzzzzzzzzzzzzzzzzzz",
    "other prefix": "prefixes_00000000000000000000000000",
    "no separator": "prefix00000000000000000000000000",
    "other separator": "prefix-00000000000000000000000000",
    "no prefix": "00000000000000000000000000",
    "empty": "",
    "NUL": "prefix_0000000000000000000000000\0",
    "digits of another script": "prefix_" + 26 * "\N{ARABIC-INDIC DIGIT ZERO}",
    "line break": "prefix_0000000000000000000000000\n",
}


@pytest.mark.parametrize(("text", "value"), VALID.items())
def test_vectors_of_the_specification(text: str, value: str) -> None:
    """Each of the specification's vectors is written and read as it says."""
    assert ids.to_text("prefix", UUID(value)) == text
    assert ids.from_text("prefix", text) == UUID(value)


@pytest.mark.parametrize("reason", INVALID)
def test_what_is_no_typeid_is_none(reason: str) -> None:
    """Malformed ids are told apart from ids that are merely not there."""
    assert ids.from_text("prefix", INVALID[reason]) is None


@given(st.uuids())
def test_each_uuid_is_read_back(value: UUID) -> None:
    """An id survives the way to text and back."""
    assert ids.from_text(ids.EXECUTION, ids.to_text(ids.EXECUTION, value)) == value


@given(st.text(alphabet="exc_0123456789abyzILOU", min_size=31, max_size=31))
def test_a_text_is_one_id_or_none(text: str) -> None:
    """No two texts are the same id: what is read is written the same way."""
    value = ids.from_text(ids.EXECUTION, text)

    assert value is None or ids.to_text(ids.EXECUTION, value) == text


@given(st.uuids(), st.uuids())
def test_text_sorts_as_the_ids_do(one: UUID, other: UUID) -> None:
    """The order of the texts is the order of the ids, so that a page can be cut at either."""
    texts = [ids.to_text("exec", one), ids.to_text("exec", other)]

    assert (texts[0] < texts[1]) == (one < other)


@given(st.lists(st.integers(0, 2**62), min_size=2, max_size=50))
def test_ids_rise_whatever_the_clock_does(clock: list[int]) -> None:
    """A clock that stands, steps back or jumps never makes an id that is not above the last."""
    ticks = iter(clock)
    new_id = ids.Uuid7(lambda: next(ticks), lambda bits: (1 << bits) - 1)

    made = [new_id() for _ in clock]

    assert made == sorted(set(made))
    assert all(ids.is_uuid7(value) and value.variant == "specified in RFC 4122" for value in made)


def test_an_id_begins_with_its_millisecond() -> None:
    """The RFC's example (RFC 9562, appendix A.6) is of the moment that it says."""
    example = UUID("017F22E2-79B0-7CC3-98C4-DC0C0C07398F")

    assert ids.is_uuid7(example)
    assert ids.created_at(example) == datetime(2022, 2, 22, 19, 22, 22, tzinfo=UTC)


def test_a_thousand_ids_in_one_moment_stay_in_it() -> None:
    """Many ids of one moment differ, and keep that moment's millisecond."""
    moment = datetime(2026, 1, 31, 12, tzinfo=UTC)
    new_id = ids.Uuid7(lambda: int(moment.timestamp()) * 10**9, lambda _: 0)

    made = [new_id() for _ in range(1000)]

    assert len(set(made)) == 1000
    assert {ids.created_at(value) for value in made} == {moment}


@given(
    st.datetimes(datetime(1970, 1, 1), datetime(9999, 12, 31), timezones=st.just(UTC)),  # noqa: DTZ001 - bounds of aware times
    st.integers(0, 2**74 - 1),
)
def test_bounds_separate_before_from_after(moment: datetime, rest: int) -> None:
    """Ids of a millisecond at or after a moment lie at or above its bound, all others below."""
    bound = ids.lowest_at(moment)
    milliseconds = bound.int >> 80
    first = UUID(int=milliseconds << 80)
    last_before = UUID(int=max((milliseconds << 80) - 1 - (rest % 2**20), 0))

    assert first >= bound
    assert ids.created_at(first) >= moment or milliseconds == (1 << 48) - 1
    assert last_before < bound or bound.int == 0
    assert bound.int == 0 or ids.created_at(last_before) < moment


def test_bounds_stay_within_what_an_id_can_say() -> None:
    """Times before 1970 are below every id; times beyond 48 bits are above none of them."""
    assert ids.lowest_at(datetime(1969, 12, 31, tzinfo=UTC)) == UUID(int=0)
    assert (
        ids.lowest_at(datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=1)).int == 1 << 80
    )
    assert ids.lowest_at(datetime.max.replace(tzinfo=UTC)).int >> 80 <= (1 << 48) - 1


def test_a_job_name_always_gives_the_same_job() -> None:
    """An execution without a job id belongs to the job of its name, today and after an upgrade."""
    assert ids.derived_job_id("nightly backup") == "job_mlzzozduefjc5hvbcnxjmwtmza"
    assert ids.derived_job_id("nightly backup ") != ids.derived_job_id("nightly backup")


def test_an_id_that_was_made_is_a_uuid_as_any_other() -> None:
    """It equals the one that its text spells, and survives being copied to another process."""
    made = ids.Uuid7(lambda: 10**18, lambda _: 5)()

    assert made == UUID(str(made))
    assert hash(made) == hash(UUID(str(made)))
    assert pickle.loads(pickle.dumps(made)) == made  # noqa: S301 - our own bytes
