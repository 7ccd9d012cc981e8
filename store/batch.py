"""One batch judged: from what was read under the lock to what is written. Pure.

Commands are decided here, under the append lock and against the state that the lock guards, so
that a conflict between two commands is simply the second one's refusal. A refusal rejects its own
command, never the batch.
"""

from bisect import insort
from collections import deque
from collections.abc import Callable, Iterable
from typing import TypeAlias
from uuid import UUID

from msgspec import Struct

from domain import commands, errors, events
from domain.due import without_erased
from domain.due_commands import Release, Settle
from domain.events import Envelope
from domain.execution import Execution
from domain.execution_rules import Decision
from domain.job import CronJob
from domain.job_commands import EraseJob, RunJob
from domain.job_events import JobBodiesErased
from domain.streams import AnyCommand, State, decide, evolve, stream_of, streams_of, subject_of
from store import chain
from store.changes import Change
from store.erasure import erased_texts
from store.reading import BatchRead, Candidate
from store.rooms import Rooms
from store.states import known_histories
from store.work import (
    Answer,
    ClaimNext,
    Configuration,
    Done,
    IdempotencyKey,
    KeptAnswer,
    Lapses,
    Message,
    Notice,
    Work,
)
from store.writing import BatchWrite, LeaseRow, new_event, queued_row

Verdict: TypeAlias = Done | Exception


class _Judged(Struct, frozen=True):
    """What a work leads to: its events, the states after them, the answer to keep."""

    decision: Decision
    after: dict[UUID, State | None]
    state: State | None
    answer: Answer | None


class Bench:
    """Judges the works of one batch, one after the other, each seeing what the last one did.

    A batch may be judged in parts, so that the database writes one while the next is judged.
    """

    def __init__(
        self,
        read: BatchRead,
        ledger_id: UUID,
        lapses: Lapses,
        sender: str,
        is_stored: Callable[[str], bool],
    ) -> None:
        self._is_stored = is_stored
        self._now = read.now
        self._ledger_id = ledger_id
        self._lapses = lapses
        self._states, self._unreadable = known_histories(read.events)
        self._states |= {state.id: state for state in read.known}
        self._answers = {(a.token_id, a.key): a for a in read.answers}
        self._candidates: dict[str | None, dict[frozenset[str], deque[Candidate]]] = {}
        for candidate in read.candidates:
            self._line_up(candidate)
        self.rooms = Rooms(dict(read.settled), read.activity, read.now)
        self._before = read.head or chain.beginning(ledger_id)
        self._last_positions: dict[UUID, int] = {}
        self._states_before: dict[UUID, State | None] = {}
        self._gone = {one.digest for one in read.configurations if not one.is_stored}
        self._awaited = {one.digest for one in read.configurations if one.is_awaited}
        self.brought: set[str] = set()
        self._begin_part()
        self.head = self._before
        self.notice = Notice(sender=sender, position=self.head.position)

    def _begin_part(self) -> None:
        self._envelopes: list[Envelope] = []
        self._queued: dict[UUID, Execution] = {}
        self._configurations: dict[str, Configuration] = {}
        # The events come last, when all works of the part are judged.
        self._write = BatchWrite(chain.Commit(0, self._now, self._ledger_id, []))

    def judge(self, works: Iterable[Work]) -> tuple[list[Verdict], BatchWrite]:
        """Return the verdicts on `works`, and what is to be written because of them.

        A verdict is what became of a work, or the refusal (or bug) that ended it.
        """
        verdicts = [self._verdict(work) for work in works]
        new = [new_event(envelope) for envelope in self._envelopes]
        write = self._write
        write.commit, self.head = chain.extend(
            self.head, self._ledger_id, self._now, new, self._before.commit_number + 1
        )
        write.configurations = list(self._configurations.values())
        for state in self._queued.values():
            write.queued.append(queued_row(state, self._now))
            if state.labels:
                self.notice.labelled.append((state.pinned_agent_id, state.labels))
            else:
                self.notice.pending.append(state.pinned_agent_id)
        for event in write.commit.events:
            self._last_positions[event.stream_id] = event.position
        self.notice.position = self.head.position
        self._begin_part()
        return verdicts, write

    @property
    def states(self) -> list[State]:
        """All streams that the batch was about, after it; those that cannot be read are not."""
        return [
            state
            for stream, state in self._states.items()
            if state is not None and stream not in self._unreadable
        ]

    @property
    def changes(self) -> list[Change]:
        """What became of each stream that the batch changed."""
        return [
            Change(self._states_before[stream], state, position)
            for stream, position in self._last_positions.items()
            if (state := self._states[stream]) is not None
        ]

    def _verdict(self, work: Work) -> Verdict:
        try:
            judged = self._replayed(work) or self._judged(work)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with one work is its own verdict
            return error
        # Nothing before this line left a trace. An exception after it fails the whole batch.
        return judged if isinstance(judged, Done) else self._carried_out(work, judged)

    def _replayed(self, work: Work) -> Done | None:
        if work.key is None:
            return None
        kept = self._answers.get((work.key.token_id, work.key.key))
        if kept is None:
            return None
        if kept.fingerprint != work.key.fingerprint:
            raise errors.IdempotencyMismatch(header=work.key.key.partition(":")[0])
        answer = Answer(kept.execution_id, kept.status, kept.location, kept.answer)
        return _done(self._states.get(kept.execution_id), replayed=answer)

    def _judged(self, work: Work) -> "Done | _Judged":
        command = work.command
        if isinstance(command, ClaimNext):
            candidate = None if command.settle else self._take(command.agent_id, command.labels)
            if candidate is None:
                return Done(None)
            command = commands.Start(
                command.at, command.by, command.command_id, candidate.execution_id, command.agent_id
            )
        asked = stream_of(command)
        if reason := self._unreadable.get(asked):
            raise errors.UnreadableStream(reason=reason)
        decision = self._decided(command, asked)
        if isinstance(command, (commands.Retry, RunJob)):
            if work.needed in self._gone:
                raise errors.ConfigurationErased
        elif isinstance(command, (commands.Erase, EraseJob)):
            self._check_taken(command, decision)
        after: dict[UUID, State | None] = {}
        for envelope in decision:
            stream = envelope.originator_id
            after[stream] = evolve(after.get(stream, self._states.get(stream)), envelope)
        subject = subject_of(command)
        state = after.get(subject, self._states.get(subject))
        answer = work.render(state) if work.key and work.render and state else None
        return _Judged(decision, after, state, answer)

    def _check_taken(self, command: commands.Erase | EraseJob, decision: Decision) -> None:
        """Refuse to take away what a job runs with, or what somebody waits for."""
        for stream in streams_of(command):
            if reason := self._unreadable.get(stream):
                raise errors.UnreadableJob(reason=reason)
        told = (envelope.event for envelope in decision)
        erasures = (one for one in told if isinstance(one, events.BodiesErased | JobBodiesErased))
        taken = {text for one in erasures for text in erased_texts(one)}
        if not taken:
            return
        known = (one for one in self._states.values() if isinstance(one, CronJob | Execution))
        named = [one for one in known if one.configuration.sha256 in taken]
        for one in named:
            if isinstance(one, CronJob) and one.status != "deleted":
                raise errors.ConfigurationOfJob(job_id=one.job_id)
        if taken & self._awaited or any(one.status == "pending" for one in named):
            raise errors.ConfigurationAwaited

    def _decided(self, command: AnyCommand, asked: UUID) -> Decision:
        if self._gone and isinstance(command, Settle):
            command = without_erased(command, self._gone)
        if isinstance(command, (Settle, Release)):
            return self.rooms.decide(command, self._states, self._unreadable)
        state = self._states.get(asked)
        decision = decide(state, command)
        if isinstance(command, RunJob):
            return tuple(self.rooms.held(state, one) for one in decision)
        return decision

    def _carried_out(self, work: Work, judged: "_Judged") -> Done:
        for stream, after in judged.after.items():
            self.rooms.changed(self._states.get(stream), after)
            self.notice.jobs |= isinstance(after, CronJob)
        self.rooms.carried_out(work.command)
        for stream in judged.after:
            self._states_before.setdefault(stream, self._states.get(stream))
        self._states.update(judged.after)
        self._envelopes.extend(judged.decision)
        for body in (work.configuration, work.definition):
            if body is not None and judged.decision:
                self._bring(body)
        for envelope in judged.decision:
            state = judged.after[envelope.originator_id]
            if isinstance(state, Execution):
                self._consequences(envelope, state, work)
            elif isinstance(envelope.event, JobBodiesErased):
                self._erase(envelope, envelope.event)
        if judged.answer is not None and work.key is not None:
            self._keep(work.key, judged.answer)
        return _done(judged.state, changed=bool(judged.decision))

    def _take(self, agent_id: str, has: frozenset[str]) -> Candidate | None:
        """Return the next execution for this agent: exact pin before unpinned, lowest id first."""
        for pin in (agent_id, None):
            of_pin = self._candidates.get(pin, {})
            while waiting := [queue for asks, queue in of_pin.items() if queue and asks <= has]:
                candidate = min(waiting, key=_lowest).popleft()
                # One that was canceled a moment ago, or whose history this version cannot read,
                # must not keep agents from the others.
                state = self._states.get(candidate.execution_id)
                readable = candidate.execution_id not in self._unreadable
                if readable and isinstance(state, Execution) and state.status == "pending":
                    return candidate
        return None

    def _line_up(self, candidate: Candidate) -> None:
        """Put a pending execution where claims look for it: by pin and labels, in order of id."""
        of_pin = self._candidates.setdefault(candidate.pinned_agent_id, {})
        queue = of_pin.setdefault(frozenset(candidate.labels or ()), deque())
        if not queue or queue[-1].execution_id < candidate.execution_id:
            queue.append(candidate)
        else:
            insort(queue, candidate, key=_id)

    def _keep(self, key: IdempotencyKey, answer: Answer) -> None:
        kept = KeptAnswer(
            token_id=key.token_id,
            key=key.key,
            fingerprint=key.fingerprint,
            execution_id=answer.execution_id,
            status=answer.status,
            location=answer.location,
            answer=answer.body,
        )
        self._answers[key.token_id, key.key] = kept
        self._write.answers.append(kept)

    def _consequences(self, envelope: Envelope, state: Execution, work: Work) -> None:
        """Note what else changes with an event: queue, lease, deadlines, bodies, whom to wake."""
        stream = envelope.originator_id
        match envelope.event:
            case events.Released():
                self._queued[stream] = state
                self._line_up(Candidate(stream, state.pinned_agent_id, state.labels))
            case events.Created():
                if state.held is None:
                    self._queued[stream] = state
                    self._line_up(Candidate(stream, state.pinned_agent_id, state.labels))
                if work.expected:
                    self._write.expected.append({"job_id": state.job_id, "since": stream})
            case events.Started(agent_id=agent_id):
                self._unqueue(stream)
                deadline = None
                if state.timeout_seconds is not None:
                    deadline = state.timeout_seconds + self._lapses.timeout_grace
                lease = LeaseRow(
                    stream, envelope.command_id, agent_id, self._lapses.lease, deadline
                )
                self._write.leases.append(lease)
            case events.CancelRequested():
                self._write.cancels.append(
                    {"execution_id": stream, "cancel_seconds": self._lapses.cancel}
                )
                self.notice.cancel_requested.append(stream)
            case events.Retried():
                pass
            case events.BodiesErased():
                self._erase(envelope, envelope.event)
            case _:
                if state.started_at is None and state.held is None:
                    self._unqueue(stream)
                self.notice.ended.append(stream)
                if work.message is not None:
                    self._keep_message(envelope, work.message)

    def _bring(self, configuration: Configuration) -> None:
        digest = configuration.digest
        if digest in self._gone or not self._is_stored(digest):
            self._configurations[digest] = configuration
            self.brought.add(digest)
        self._gone.discard(digest)
        # Erased and brought back in one statement's time: it stays where it is.
        self._write.erasure.configurations.discard(digest)

    def _erase(self, envelope: Envelope, event: events.BodiesErased | JobBodiesErased) -> None:
        self._write.erasure.add(envelope, event)
        self._gone.update(texts := erased_texts(event))
        self.brought.difference_update(texts)
        self.notice.erased += texts

    def _unqueue(self, execution_id: UUID) -> None:
        if self._queued.pop(execution_id, None) is None:
            self._write.unqueued.append(execution_id)

    def _keep_message(self, envelope: Envelope, message: Message) -> None:
        self._write.messages.append(
            {
                "execution_id": envelope.originator_id,
                "version": envelope.originator_version,
                "salt": message.salt,
                "body": message.body,
            }
        )


def _id(candidate: Candidate) -> UUID:
    return candidate.execution_id


def _done(state: State | None, *, changed: bool = False, replayed: Answer | None = None) -> Done:
    if isinstance(state, CronJob):
        return Done(None, changed, replayed, state)
    return Done(state if isinstance(state, Execution) else None, changed, replayed)


def _lowest(waiting: deque[Candidate]) -> UUID:
    return waiting[0].execution_id
