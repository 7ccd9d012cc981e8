"""A ledger as small as it can be: a dict, and the rules in a few plain sentences."""

import dataclasses
from typing import Final, Literal, TypeAlias
from uuid import UUID

from domain import commands, errors
from domain.commands import Command, ConfirmCancel, Lose, TimeOut
from store.work import ClaimNext

AGENTS: Final = ("host-1", "host-2")
Giving: TypeAlias = type[Lose | TimeOut | ConfirmCancel]


@dataclasses.dataclass(frozen=True)
class Create:
    """Ask for an execution; `slot` is a client-made id, of which there are a few."""

    color: str
    slot: int | None = None
    key: str | None = None
    pin: str | None = None
    claim: str | None = None
    labels: tuple[str, ...] = ()
    hurried: bool = False
    late: bool = False


@dataclasses.dataclass(frozen=True)
class Claim:
    """Ask for work; with a `key` again and again the same."""

    agent: str
    key: str | None = None
    labels: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Expire:
    """Wait no longer for an agent to begin."""

    target: int


@dataclasses.dataclass(frozen=True)
class Complete:
    """Report the end of the execution `target` (any number: it wraps around)."""

    target: int
    outcome: Literal["exited", "timed_out", "canceled"]
    exit_code: int
    right_lease: bool = True
    late: bool = False


@dataclasses.dataclass(frozen=True)
class Cancel:
    """Ask for a cancel."""

    target: int


@dataclasses.dataclass(frozen=True)
class Retry:
    """Ask for another run."""

    target: int
    key: str | None = None


@dataclasses.dataclass(frozen=True)
class GiveUp:
    """Stop waiting for an agent."""

    target: int
    kind: Giving


@dataclasses.dataclass(frozen=True)
class Erase:
    """Erase output and messages, and perhaps the configuration."""

    target: int
    configuration: bool


Asked: TypeAlias = Create | Claim | Complete | Cancel | Retry | GiveUp | Expire | Erase
ENDS: Final = {"exited": "", "timed_out": "timeout", "canceled": "canceled"}
GIVEN_UP: Final[dict[Giving, str]] = {
    Lose: "failed",
    TimeOut: "timeout",
    ConfirmCancel: "canceled",
}


@dataclasses.dataclass
class Known:
    """What the model knows of one execution; `told` is the agent's own word of its end."""

    id: UUID
    root: UUID
    wish: Create
    attempt: int = 1
    status: str = "pending"
    fence: UUID | None = None
    asked_to_cancel: bool = False
    told: tuple[str, int] | None = None
    born_claimed: bool = False
    erased: bool = False
    messages_erased: bool = False

    @property
    def pin(self) -> str | None:
        """Which agent alone may run it."""
        return self.wish.claim or self.wish.pin


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What becomes of a request: refused, or about which execution, in which status."""

    refused: type[Exception] | None = None
    subject: UUID | None = None
    status: str | None = None
    changed: bool = False
    replayed: bool = False


class Model:
    """All executions, and what was answered under which key."""

    def __init__(self) -> None:
        self.known: dict[UUID, Known] = {}
        self._answers: dict[str, tuple[object, UUID]] = {}
        self._gone: set[str] = set()
        self._waited: set[UUID] = set()

    def begin(self) -> None:
        """Begin a batch: what was pending before it still counts for an erasure in it."""
        self._waited = {one.id for one in self.known.values() if one.status == "pending"}

    def target(self, number: int) -> Known | None:
        """The execution that a number means, if there is any."""
        everyone = list(self.known.values())
        return everyone[number % len(everyone)] if everyone else None

    def apply(self, asked: Asked, subject: UUID, command: Command | ClaimNext) -> Verdict:
        """Do what is asked of `subject`; the ids are those of `command`."""
        key = getattr(asked, "key", None)
        said = self._said(asked, subject)
        if key is not None:
            key = f"{type(asked) is Claim} {key}"
            if key in self._answers:
                before, answer = self._answers[key]
                if before != said:
                    return Verdict(errors.IdempotencyMismatch)
                return Verdict(subject=answer, replayed=True)
        verdict = self._judge(asked, subject, command)
        if key is not None and verdict.subject is not None:
            self._answers[key] = (said, verdict.subject)
        return verdict

    def _said(self, asked: Asked, subject: UUID) -> object:
        match asked:
            case Create():
                return ("create", asked.slot, asked.color)
            case Claim():
                return ("claim", asked.agent)
            case _:
                return (type(asked), subject)

    def _judge(self, asked: Asked, subject: UUID, command: Command | ClaimNext) -> Verdict:
        if isinstance(asked, Create):
            return self._create(asked, subject, command.command_id)
        if isinstance(asked, Claim):
            return self._claim(asked, command.command_id)
        one = self.known.get(subject)
        if one is None:
            return Verdict(errors.ExecutionNotFound)
        match asked, command:
            case Complete(), commands.Complete(fence=fence):
                return self._complete(one, asked, fence)
            case Retry(), commands.Retry(new_id=new_id):
                return self._retry(one, new_id)
            case GiveUp(), _:
                return self._give_up(one, asked)
            case Expire(), _:
                return self._expire(one)
            case Erase(), _:
                return self._erase(one, asked)
            case _:
                return self._cancel(one)

    def _create(self, asked: Create, subject: UUID, command_id: UUID) -> Verdict:
        one = self.known.get(subject)
        if one is None:
            one = self.known[subject] = Known(subject, subject, asked)
            self._gone.discard(asked.color)
            if asked.claim is not None:
                one.status, one.fence, one.born_claimed = "running", command_id, True
            return self._done(one)
        wish = dataclasses.replace(
            asked, slot=one.wish.slot, key=one.wish.key, pin=one.wish.pin, late=one.wish.late
        )
        wish = dataclasses.replace(wish, claim=one.wish.claim)
        same = one.attempt == 1 and (one.wish, one.pin) == (wish, asked.claim or asked.pin)
        if not same or (asked.claim is not None and not one.born_claimed):
            return Verdict(errors.ExecutionExists)
        return self._done(one, changed=False)

    def _claim(self, asked: Claim, command_id: UUID) -> Verdict:
        waiting = [
            one
            for one in self.known.values()
            if one.status == "pending"
            and one.pin in (None, asked.agent)
            and set(one.wish.labels) <= set(asked.labels)
        ]
        if not waiting:
            return Verdict()
        one = min(waiting, key=lambda found: (found.pin is None, found.id))
        one.status, one.fence = "running", command_id
        return self._done(one)

    def _complete(self, one: Known, asked: Complete, fence: UUID) -> Verdict:
        if one.fence != fence:
            return Verdict(errors.LeaseLost)
        said = (asked.outcome, asked.exit_code)
        if one.status != "running":
            if one.told is None:
                one.told, one.messages_erased = said, False
                return self._done(one)
            same = one.told == said
            return self._done(one, changed=False) if same else Verdict(errors.AlreadyFinal)
        if asked.outcome == "canceled" and not one.asked_to_cancel:
            return Verdict(errors.CancelNotRequested)
        well = "success" if asked.exit_code == 0 else "failed"
        one.status, one.told = ENDS[asked.outcome] or well, said
        return self._done(one)

    def _cancel(self, one: Known) -> Verdict:
        if one.status == "pending":
            one.status = "canceled"
        elif one.status == "canceled" or (one.status == "running" and one.asked_to_cancel):
            return self._done(one, changed=False)
        elif one.status == "running":
            one.asked_to_cancel = True
        else:
            return Verdict(errors.NotCancelable)
        return self._done(one)

    def _retry(self, one: Known, new_id: UUID) -> Verdict:
        if one.status not in {"failed", "timeout"}:
            return Verdict(errors.NotRetryable)
        if one.wish.color in self._gone:
            return Verdict(errors.ConfigurationErased)
        wish = dataclasses.replace(one.wish, pin=one.pin, claim=None)
        again = Known(new_id, one.root, wish, one.attempt + 1)
        self.known[new_id] = again
        return self._done(again)

    def _expire(self, one: Known) -> Verdict:
        if one.status != "pending" or not one.wish.hurried:
            return Verdict(errors.NotExpirable)
        one.status = "failed"
        return self._done(one)

    def _erase(self, one: Known, asked: Erase) -> Verdict:
        if one.status in {"pending", "running"}:
            return Verdict(errors.NotErasable)
        color = one.wish.color
        if asked.configuration:
            # Who waited when the batch began may have begun in it: better refused than run blindly.
            if any(
                other.wish.color == color
                and (other.status == "pending" or other.id in self._waited)
                for other in self.known.values()
            ):
                return Verdict(errors.ConfigurationAwaited)
            self._gone.add(color)
        changed = asked.configuration or not (one.erased and one.messages_erased)
        one.erased = one.messages_erased = True
        return self._done(one, changed=changed)

    def _give_up(self, one: Known, asked: GiveUp) -> Verdict:
        if one.status != "running":
            return Verdict(errors.NotRunning)
        if asked.kind is ConfirmCancel and not one.asked_to_cancel:
            return Verdict(errors.CancelNotRequested)
        one.status = GIVEN_UP[asked.kind]
        return self._done(one)

    @staticmethod
    def _done(one: Known, *, changed: bool = True) -> Verdict:
        return Verdict(subject=one.id, status=one.status, changed=changed)
