"""Who was heard of is written soon, and nobody every moment."""

from datetime import UTC, datetime, timedelta

from api.presence import Presence
from store.agents import Seen, Traits

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
TRAITS = Traits("1", ("gpu",), 4)


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        """Tell the time."""
        return self.now


def test_an_agent_is_written_at_once_and_then_now_and_then() -> None:
    """The first news is due at once, what follows is gathered for some seconds."""
    clock = Clock()
    presence = Presence(clock)
    presence.note(Seen("a", NOON, token_bound=True, traits=TRAITS))
    assert [one.agent_id for one in presence.take_due()] == ["a"]
    for second in range(4):
        clock.now += 1
        presence.note(Seen("a", NOON + timedelta(seconds=second), token_bound=True))
        presence.note(Seen("b", NOON, token_bound=False))
        assert [one.agent_id for one in presence.take_due()] == (["b"] if second == 0 else [])

    clock.now += 5

    assert presence.take_due() == [
        Seen("a", NOON + timedelta(seconds=3), token_bound=True),
        Seen("b", NOON, token_bound=False),
    ]
    assert presence.take_due() == []


def test_a_heartbeat_does_not_forget_what_the_claim_said() -> None:
    """Between two writings, traits stay and the time moves on."""
    presence = Presence(Clock())
    presence.note(Seen("a", NOON, token_bound=True, traits=TRAITS))
    later = NOON + timedelta(seconds=9)
    presence.note(Seen("a", later, token_bound=True))

    assert presence.take_due() == [Seen("a", later, token_bound=True, traits=TRAITS)]


def test_what_could_not_be_written_is_due_again() -> None:
    """Newer news stands before what is put back."""
    presence = Presence(Clock())
    old = Seen("a", NOON, token_bound=True, traits=TRAITS)
    presence.note(old)
    presence.note(Seen("b", NOON, token_bound=True))
    taken = presence.take_due()
    newer = Seen("b", NOON + timedelta(seconds=1), token_bound=True)
    presence.note(newer)

    presence.put_back(taken)

    assert sorted(presence.take_due(), key=lambda one: one.agent_id) == [old, newer]
