"""Texts that streams share are gone if they were erased after they were named last."""

from itertools import permutations
from uuid import UUID

from domain.events import BodiesErased, BodyDigest, Event
from domain.job_events import JobBodiesErased, JobChanged, Plan
from store.erased_texts import ErasedTexts

ONE, OTHER = UUID(int=1), UUID(int=2)
PLAN = Plan("0 1 * * *", "UTC", 300, "run_once", "allow")


def test_what_counts_is_which_came_last_in_the_log() -> None:
    """In whatever order events are taken: named again is back, erased again is gone."""
    named = JobChanged(BodyDigest(1, "aa"), BodyDigest(1, "bb"), PLAN)
    erased = JobBodiesErased("secret", ("aa", "bb"))
    shared = BodiesErased("secret", configuration="bb")
    happened: list[tuple[int, UUID, Event]] = [
        (1, ONE, named),
        (2, ONE, erased),
        (3, ONE, named),
        (4, OTHER, shared),
    ]

    for events in permutations(happened):
        texts = ErasedTexts()
        for position, stream, event in events:
            texts.take(position, stream, event)

        assert texts.gone == {b"\xbb"}
        assert texts.named_by_jobs == {b"\xaa": ONE, b"\xbb": ONE}
