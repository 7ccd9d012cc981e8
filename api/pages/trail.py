"""The audit trail of one execution in words, with the state after each event. Pure."""

from collections.abc import Iterable
from datetime import datetime
from typing import Final
from uuid import UUID

from msgspec import Struct

from api import recorded
from api.pages import words
from api.recorded import Replayed
from domain import events, execution, ids
from domain.events import Ending, Event
from domain.execution import Execution
from projections.queries import AuditEntry

_ACTORS: Final = {"operator": "a person or program", "agent": "the agent", "server": "the server"}


class Step(Struct, frozen=True):
    """One event: what happened, by whom, and the status after it. None: there is none yet."""

    position: int
    version: int
    type: str
    at: datetime
    recorded_at: datetime
    actor: str
    actor_id: str
    text: str
    link: str
    status: str | None


def steps(execution_id: UUID, entries: Iterable[AuditEntry]) -> list[Step]:
    """Return the events in order, with the same states as the audit trail for programs has."""
    return [_step(one) for one in recorded.replay(execution_id, entries, execution.evolve)]


def _step(one: Replayed[Execution]) -> Step:
    entry = one.entry
    text, link = f"This event cannot be read: {one.unreadable}", ""
    if one.event is not None:
        text, link = _said(one.event)
    kind, _, actor_id = entry.actor.partition(":")
    return Step(
        position=entry.position,
        version=entry.version,
        type=entry.type,
        at=entry.occurred_at,
        recorded_at=entry.recorded_at,
        actor=_ACTORS.get(kind, kind),
        actor_id=actor_id,
        text=text,
        link=link,
        status=one.state.status if one.state is not None else None,
    )


def _said(event: Event) -> tuple[str, str]:
    """Return what an event says, and the id of the execution that it points to, if any."""
    # What no case names is said by the name of its kind.
    kind = str(event.__struct_config__.tag).rpartition(".")[2]
    text, link = kind.replace("_", " ").capitalize(), ""
    match event:
        case events.Created(retry_of=original) if original is not None:
            text, link = "Created as a retry of", ids.to_text(ids.EXECUTION, original)
        case events.Retried():
            text, link = "Retried as", ids.to_text(ids.EXECUTION, event.retried_as)
        case events.Created():
            text = f"Created ({event.triggered_by})"
        case events.Started():
            text = f"Started by the agent {event.agent_id}"
        case events.TimedOut() | events.Canceled() | events.Lost() | events.NotStarted():
            text = _ended_early(event)
        case events.Completed():
            text = _ended("Ended", event.ending)
        case events.OutcomeReportedLate():
            how = event.outcome.replace("_", " ")
            text = _ended(f"Its agent reported late how it really ended: {how}", event.ending)
        case events.CancelRequested():
            text = "Somebody asked to cancel it"
        case events.Released():
            text = "Its wait is over: agents may take it"
        case events.BodiesErased():
            text = _erased(event)
    return text, link


def _erased(event: events.BodiesErased) -> str:
    parts = [
        name
        for name, is_gone in (
            ("output", event.output),
            ("messages", event.messages),
            ("configuration", event.configuration is not None),
        )
        if is_gone
    ]
    return f"Erased ({event.reason.replace('_', ' ')}): {', '.join(parts) or 'nothing more'}"


def _ended_early(event: events.TimedOut | events.Canceled | events.Lost | events.NotStarted) -> str:
    match event:
        case events.NotStarted():
            return "No agent took it before its start deadline"
        case events.Lost():
            return "Its agent was lost: no heartbeat came in time, and nobody saw the end"
        case events.Canceled(ending=None):
            return "Canceled before it began"
        case events.Canceled():
            text = "Canceled"
        case events.TimedOut():
            text = _ended("Ended because it took too long", event.ending)
    return text if event.process_ended else f"{text}; nobody saw its process end"


def _ended(what: str, ending: Ending) -> str:
    parts = [what]
    if ending.failure_reason not in (None, "exit_code"):
        parts.append(words.why_failed(ending.failure_reason, ending.exit_code, ending.signal))
    elif ending.exit_code is not None:
        parts.append(f"exit code {ending.exit_code}")
    if ending.duration_ms:
        parts.append(f"after {words.duration(ending.duration_ms)}")
    return ", ".join(parts)
