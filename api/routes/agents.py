"""What agents say: claim, heartbeat, output, outcome."""

import asyncio
from collections.abc import Coroutine
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from litestar import Request, post
from litestar.types import ASGIApp
from msgspec.structs import replace

from api import answers, parameters, rendering, wire
from api.answers import Answered
from api.auth import Caller
from api.ledger import Ledger, check_agent, key_of, of
from api.problems import Problem, invalid
from api.routes.creation import labels_of
from api.routes.executions import PATH
from domain import commands
from domain.errors import AlreadyFinal, CancelNotRequested, KeptAsLateOutcome, LeaseLost
from domain.events import Ending, StreamDigest
from domain.execution import Execution
from projections import executions
from projections.queries import Standing, Texts, View
from store import leases, output
from store.agents import Seen, Traits
from store.work import Answer, ClaimNext, Done, IdempotencyKey, Message, Work

CHUNK_BYTES_MAX: Final = 1024 * 1024
_ONE: Final = PATH + "/{execution_id:str}"
Req = Request[Any, Any, Any]


@post(PATH + "/claim")
async def claim(request: Req) -> ASGIApp:
    """Take the oldest pending execution that this agent may run, waiting for one if asked to."""
    ledger = of(request)
    caller = await ledger.authenticator.require(request, "agent")
    parameters.query(request, ())
    asked = await parameters.body(request, wire.Claim)
    agent_id = parameters.name("agent_id", asked.agent_id)
    check_agent(caller, agent_id)
    labels = labels_of(asked.labels)
    if asked.version is not None:
        parameters.line("version", asked.version)
    traits = Traits(asked.version, labels, asked.concurrency)
    ledger.presence.note(Seen(agent_id, wire.now(), caller.agent_id is not None, traits))
    key = key_of(request, caller, "Claim-Id", asked.agent_id)
    command = ClaimNext(
        wire.now(), caller.actor, ledger.new_id(), agent_id, frozenset(labels), settle=asked.settle
    )
    loop_end = ledger.clock() + (0 if asked.settle else asked.wait_seconds)
    client = _Client(request)
    try:
        return await _claim_when_possible(ledger, client, command, key=key, loop_end=loop_end)
    finally:
        client.stop()


async def _claim_when_possible(
    ledger: Ledger,
    client: "_Client",
    command: ClaimNext,
    *,
    key: IdempotencyKey | None,
    loop_end: float,
) -> Answered:
    def answering(done: Done) -> Answered | None:
        claimed = ledger.leased_now(done)
        return answers.json(claimed) if claimed is not None else None

    def look(asked: ClaimNext) -> Work:
        return Work(asked, key=key, render=_claim_answer, answering=answering)

    def again() -> Work:
        return look(replace(command, at=wire.now(), command_id=ledger.new_id()))

    # Take a place before the first look, so that work that comes in between is not missed.
    with ledger.waiting.claim(command.agent_id, command.labels) as place:
        done, was_told = await ledger.appender.submit(look(command)), True
        while done.execution is None and done.replayed is None:
            has_news = await client.unless_gone(place.news(loop_end - ledger.clock(), again))
            if (taken := await place.taken()) is not None:
                done, was_told = taken, False  # of that execution nobody had any news
            elif client.is_gone or not has_news:
                # Work that one took who is gone would run nowhere: its news is for the next.
                return answers.empty()
            else:
                done = await ledger.appender.submit(again())
        if done.execution is not None and done.changed and was_told:
            place.took(done.execution.pinned_agent_id, done.execution.labels)
        if done.answer is not None:
            first: Answered = done.answer
            return first
        return answers.json(await ledger.leased(done))


class _Client:
    """Who waits for an answer, and may hang up before it comes."""

    def __init__(self, request: Req) -> None:
        self._request = request
        self._gone: asyncio.Task[None] | None = None

    @property
    def is_gone(self) -> bool:
        """Whether the connection was closed."""
        return self._gone is not None and self._gone.done()

    async def unless_gone(self, waiting: Coroutine[Any, Any, bool]) -> bool:
        """Wait, but no longer than the client does."""
        if self._gone is None:
            # The body has been read: what else comes is the end of the connection.
            self._gone = asyncio.create_task(self._until_gone())
        news = asyncio.create_task(waiting)
        try:
            await asyncio.wait({news, self._gone}, return_when=asyncio.FIRST_COMPLETED)
            return news.done() and news.result()
        finally:
            news.cancel()

    async def _until_gone(self) -> None:
        while (await self._request.receive())["type"] != "http.disconnect":
            pass

    def stop(self) -> None:
        """Listen no more."""
        gone, self._gone = self._gone, None
        if gone is not None:
            gone.cancel()


def _claim_answer(state: Execution) -> Answer:
    return Answer(state.id, 200)


@post(_ONE + "/heartbeat")
async def heartbeat(request: Req) -> ASGIApp:
    """Renew the lease, and wait for news of a cancel if asked to."""
    ledger = of(request)
    caller = await ledger.authenticator.require(request, "agent")
    parameters.query(request, ())
    asked = await parameters.body(request, wire.Heartbeat)
    subject = parameters.execution_id(request)
    fence = await ledger.fence(request, subject)
    # A wait must not outlast the lease that it renews.
    wait_seconds = min(asked.wait_seconds, ledger.settings.lease_seconds / 3)
    with ledger.waiting.cancel(subject) as ear:
        renewed = await _renew(ledger, caller, subject, fence)
        if not renewed.cancel_requested and await ear.news(wait_seconds):
            renewed = await _renew(ledger, caller, subject, fence)
    seen = Seen(renewed.agent_id, wire.now(), caller.agent_id is not None)
    ledger.presence.note(seen)
    return answers.json(
        wire.HeartbeatAnswer(renewed.cancel_requested, wire.timestamp(renewed.expires_at))
    )


async def _renew(ledger: Ledger, caller: Caller, subject: UUID, fence: UUID) -> leases.Renewed:
    lapses = ledger.settings.lapses
    renewed = await leases.renew(ledger.pool, subject, fence, lapses, caller.agent_id)
    if renewed is None:
        raise await _lost(ledger, caller, subject)
    return renewed


async def _lost(ledger: Ledger, caller: Caller, subject: UUID) -> LeaseLost:
    """Return why a lease was not found. Raises 404, and 403 if it is another agent's."""
    standing = await ledger.standing(subject)
    _check_holder(caller, standing)
    return LeaseLost(status=standing.status)


def _check_holder(caller: Caller, standing: Standing) -> None:
    if standing.agent_id is not None:
        check_agent(caller, standing.agent_id)


@post(_ONE + "/logs")
async def append_logs(request: Req) -> ASGIApp:
    """Append raw bytes to one output stream at a byte offset."""
    ledger = of(request)
    caller = await ledger.authenticator.require(request, "agent")
    values = parameters.query(request, ("stream", "offset", "skip_to"))
    stream = stream_of(values, required=True)
    if "offset" not in values:
        raise invalid("offset", "is required")
    offset = parameters.integer(values, "offset", 0, 0, 1 << 53)
    skip_to = parameters.integer(values, "skip_to", -1, 0, 1 << 53)
    subject = parameters.execution_id(request)
    fence = await ledger.fence(request, subject)
    data = await parameters.raw_body(request)
    if len(data) > CHUNK_BYTES_MAX:
        raise Problem(
            413, "payload_too_large", f"A chunk may have at most {CHUNK_BYTES_MAX} bytes."
        )
    done = await output.append(
        ledger.pool,
        subject,
        fence,
        stream,
        offset=offset,
        data=data,
        skip_to=None if skip_to < 0 else skip_to,
        agent_id=caller.agent_id,
    )
    match done.result:
        case "ok":
            ledger.waiting.hear_output(subject)
            return answers.json(wire.LogsAnswer(done.next_offset or 0, done.cancel_requested))
        case "gap":
            raise _gap(stream, done.next_offset or 0)
        case "full":
            raise Problem(
                413,
                "payload_too_large",
                f"At most {output.KEPT_BYTES_MAX} bytes of {stream} are kept; leave out the "
                "middle with skip_to.",
            )
        case "lease_lost":
            raise await _lost(ledger, caller, subject)


def stream_of(values: dict[str, list[str]], *, required: bool = False) -> str:
    """Return which output stream is meant. Raises `Problem` 400."""
    if "stream" not in values:
        if required:
            raise invalid("stream", "is required: stdout or stderr")
        return "stdout"
    stream = values["stream"][0]
    if stream not in output.STREAMS:
        raise invalid("stream", "must be stdout or stderr")
    return stream


def _gap(stream: str, expected: int) -> Problem:
    return Problem(
        409,
        "conflict",
        f"The server has {stream} up to offset {expected}; go on from there.",
        expected_offset=expected,
    )


@post(_ONE + "/complete")
async def complete(request: Req) -> ASGIApp:
    """Record how the command ended."""
    ledger = of(request)
    caller = await ledger.authenticator.require(request, "agent")
    parameters.query(request, ())
    asked = await parameters.body(request, wire.Complete)
    _check_report(asked)
    subject = parameters.execution_id(request)
    fence = await ledger.fence(request, subject)
    standing = await ledger.standing(subject)
    _check_holder(caller, standing)
    if asked.output:
        await _take_inline(ledger, standing, fence, asked)
        standing = await ledger.standing(subject)
    _check_complete(asked, standing)
    message, digest = output.message(asked.error, ledger.keys) if asked.error else (None, None)
    ending = Ending(
        duration_ms=asked.duration_ms,
        stdout=_claimed_hash(asked.stdout_sha256),
        stderr=_claimed_hash(asked.stderr_sha256),
        exit_code=asked.exit_code,
        signal=asked.signal,
        failure_reason=asked.failure_reason,
        message=digest,
        masked=asked.masked,
    )
    command = commands.Complete(
        at=wire.now(),
        by=caller.actor,
        command_id=ledger.new_id(),
        execution_id=subject,
        fence=fence,
        outcome=asked.outcome,
        ending=await ledger.ending(standing, ending),
        ended_at=_ended_at(asked, standing),
    )

    def answering(done: Done) -> Answered:
        return answers.json(_outcome(done, standing, message))

    done = await ledger.appender.submit(Work(command, message=message, answering=answering))
    answer: Answered = done.answer
    return answer


def _ended_at(asked: wire.Complete, standing: Standing) -> datetime | None:
    """Return when the agent says that the command ended: after its duration, and not after now.

    Its clock may differ from ours, or have been set meanwhile, which must not cost the outcome.
    """
    started_at = standing.started_at
    if asked.ended_at is None or started_at is None:
        return None
    ended_at, now = parameters.moment("ended_at", asked.ended_at), wire.now()
    lasted = min(timedelta(milliseconds=asked.duration_ms), now - started_at)
    return max(started_at, started_at + lasted, min(ended_at, now))


def _outcome(done: Done, standing: Standing, message: Message | None) -> wire.Execution:
    state = done.execution
    if state is None or state.late is not None:
        raise KeptAsLateOutcome(status=state.status if state else "gone")
    texts = Texts(
        configuration=standing.configuration,
        message=message.body if message is not None else None,
        stdout=standing.stdout,
        stderr=standing.stderr,
    )
    return rendering.execution(View(executions.row(state, 0), texts), wire.now())


def _claimed_hash(written_sha256: str | None) -> StreamDigest:
    return StreamDigest(0, 0, "", written_sha256=written_sha256)


def _check_report(asked: wire.Complete) -> None:
    if asked.error is not None:
        parameters.text("error", asked.error)
    if asked.outcome == "exited" and asked.exit_code is None and asked.failure_reason is None:
        raise invalid(
            "exit_code", "is required when the outcome is exited without a failure_reason"
        )
    if asked.failure_reason == "agent_lost" and asked.exit_code is not None:
        raise invalid("exit_code", "cannot be known when the failure_reason is agent_lost")
    if asked.output and asked.stdout_bytes is not None:
        raise invalid("output", "cannot be given together with stdout_bytes, which was streamed")


async def _take_inline(
    ledger: Ledger, standing: Standing, fence: UUID, asked: wire.Complete
) -> None:
    """Store the output of a report that will be taken; of a repeated one, only compare it."""
    execution_id, data = standing.id, (asked.output or "").encode()
    if standing.is_reported:
        # What was erased can be compared no more.
        if standing.stdout.erased_at is None and data != await output.read(
            ledger.pool, execution_id, "stdout", standing.stdout_kept_bytes
        ):
            raise AlreadyFinal(status=standing.status)
        return
    is_running = standing.status == "running"
    if is_running and asked.outcome == "canceled" and standing.cancel_requested_at is None:
        raise CancelNotRequested(status=standing.status)
    other = invalid("output", "cannot be given: other output was streamed before")
    if (kept_bytes := standing.stdout.kept_bytes) > 0:
        kept = await output.read(ledger.pool, execution_id, "stdout", kept_bytes)
        if standing.stdout.omitted_from is not None or not data.startswith(kept):
            raise other
    done = await output.append(ledger.pool, execution_id, fence, "stdout", offset=0, data=data)
    if done.result == "lease_lost":
        raise LeaseLost(status=standing.status)
    if done.result == "full" or (done.next_offset or 0) > len(data):
        raise other


def _check_complete(asked: wire.Complete, standing: Standing) -> None:
    """Refuse an outcome before all of its output is here."""
    stdout, stderr = standing.told
    for stream, said, stored in (
        ("stdout", asked.stdout_bytes, stdout.written_bytes),
        ("stderr", asked.stderr_bytes, stderr.written_bytes),
    ):
        if said is not None and said > stored:
            raise _gap(stream, stored)
        if said is not None and said < stored:
            raise invalid(f"{stream}_bytes", f"is {said}, but {stored} bytes were streamed")


HANDLERS: Final = (claim, heartbeat, append_logs, complete)
