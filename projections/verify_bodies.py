"""Output and messages against the digests that events hold of them, stream by stream."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final
from uuid import UUID

from msgspec import Struct
from psycopg import Connection

from domain.events import BodiesErased, BodyDigest, Ending, StreamDigest
from projections import shadow
from projections.findings import Findings
from store import copying, mapper, output
from store.copying import Sorted, columns, number
from store.erased_texts import ErasedTexts
from store.log_streams import Range

PREVIEW_BYTES: Final = 4096
_COPY: Final = "COPY (SELECT {} WHERE {} ORDER BY {}) TO STDOUT (FORMAT BINARY)"
_OUTPUTS: Final = (
    "execution_id, stream, salt, next_offset, kept_bytes, omitted_from, omitted_to, preview"
    ", erased_at FROM store.outputs"
)
_CHUNKS: Final = "execution_id, stream, start_offset, bytes FROM store.output_chunks"
_MESSAGES: Final = "execution_id, version, salt, body FROM store.messages"
_ERASURES: Final = """
SELECT position, stream_id, version, type, schema_version, payload FROM ledger.events
WHERE type IN ('execution.bodies_erased', 'job.bodies_erased', 'job.created', 'job.changed')
ORDER BY position"""
_MISSING: Final = """
SELECT asked.digest FROM unnest(%s::bytea[]) AS asked (digest)
WHERE NOT EXISTS (SELECT FROM store.configurations c WHERE c.digest = asked.digest)
ORDER BY 1"""
_STILL_THERE: Final = "SELECT digest FROM store.configurations WHERE digest = ANY(%s) ORDER BY 1"
_EXECUTIONS: Final = "executions_1"
_NAMES: Final = {number: name for name, number in output.STREAMS.items()}


class Erased(Struct, frozen=True):
    """What was erased on purpose, by the events that say so.

    Configurations by digest, output by execution, messages by execution and the version of the
    last event that erased some. And `named_by_jobs`: of all configurations and definitions that
    jobs ever had, the stream of the job that had it.
    """

    configurations: frozenset[bytes] = frozenset()
    outputs: frozenset[UUID] = frozenset()
    messages: Mapping[UUID, int] = {}
    named_by_jobs: Mapping[bytes, UUID] = {}


def erased(connection: Connection[Any]) -> Erased:
    """Return what was erased, and was not brought back by an execution or a job later."""
    outputs: set[UUID] = set()
    messages: dict[UUID, int] = {}
    texts = ErasedTexts()
    for position, stream, version, event_type, *stored in connection.execute(_ERASURES):
        try:
            event = mapper.decode(event_type, *stored)
        except (mapper.UnreadableEvent, RecursionError):
            continue  # said elsewhere
        texts.take(position, stream, event)
        if isinstance(event, BodiesErased) and event.output:
            outputs.add(stream)
        if isinstance(event, BodiesErased) and event.messages:
            messages[stream] = version
    # Without that table, which is a finding of its own, nobody can say what was brought back.
    if shadow.exists(connection, _EXECUTIONS):
        texts.take_executions(connection)
    return Erased(texts.gone, frozenset(outputs), messages, texts.named_by_jobs)


def missing_of_jobs(connection: Connection[Any], gone: Erased) -> list[bytes]:
    """Return the configurations and definitions that jobs ever had and that are not there."""
    found = connection.execute(_MISSING, [list(gone.named_by_jobs)])
    return [digest for (digest,) in found]


def job_id_of(connection: Connection[Any], stream: UUID) -> str:
    """Return how people know a job; its stream's id if the read model does not know it."""
    found = connection.execute("SELECT job_id FROM read.jobs_1 WHERE id = %s", [stream]).fetchone()
    return str(stream if found is None else found[0])


def still_there(connection: Connection[Any], gone: Erased) -> list[bytes]:
    """Return the configurations and definitions that events erased, and that are there."""
    found = connection.execute(_STILL_THERE, [list(gone.configurations)])
    return [digest for (digest,) in found]


class Bodies:
    """What is stored beside the events, read in step with the streams that name it."""

    def __init__(self, connect: Callable[[], Connection[Any]], part: Range, gone: Erased) -> None:
        """Take what makes a connection, for which executions, and what was erased of them."""

        def stored(selected: str, order: str) -> Sorted:
            copy = _COPY.format(selected, part.condition("execution_id"), order)
            return Sorted(copying.rows(connect(), copy), 2)

        self._outputs = stored(_OUTPUTS, "execution_id, stream")
        self._chunks = stored(_CHUNKS, "execution_id, stream, start_offset")
        self._messages = stored(_MESSAGES, "execution_id, version")
        self._erased = gone

    def check(
        self,
        found: Findings,
        execution_id: UUID,
        endings: Iterable[Ending],
        messages: dict[int, BodyDigest],
    ) -> None:
        """Compare what is stored for one execution with what its events say of it."""
        key = execution_id.bytes
        self._orphans(found, (key,))
        if messages or self._is_next(self._messages, key):
            self._check_messages(found, execution_id, messages)
        kept = [one for one in endings if one.stdout.kept_bytes or one.stderr.kept_bytes]
        if (
            kept
            or self._is_next(self._outputs, key)
            or self._is_next(self._chunks, key)
            or execution_id in self._erased.outputs
        ):
            for stream_number, name in _NAMES.items():
                claims: list[StreamDigest] = [getattr(ending, name) for ending in kept]
                for wrong in self._check_output(found, execution_id, stream_number, claims):
                    found.add("output", f"{execution_id} {name}", wrong)

    def rest(self, found: Findings) -> None:
        """Note what belongs to no stream at all."""
        self._orphans(found, (b"\xff" * 17,))

    def _orphans(self, found: Findings, key: tuple[bytes, ...]) -> None:
        for what, rows in (
            ("output", self._outputs),
            ("output", self._chunks),
            ("message", self._messages),
        ):
            for row in rows.before(key):
                one = UUID(bytes=columns(row, 1)[0])
                found.add(what, one, "is stored for an execution that does not exist")

    @staticmethod
    def _is_next(rows: Sorted, key: bytes) -> bool:
        return rows.key is not None and rows.key[0] == key

    def _check_messages(
        self, found: Findings, execution_id: UUID, messages: dict[int, BodyDigest]
    ) -> None:
        told = dict(messages)
        erased_before = self._erased.messages.get(execution_id, 0)
        for row in self._messages.at((execution_id.bytes,)):
            _, stored, salt, body = columns(row)
            version = number(stored) or 0
            said = told.pop(version, None)
            digest = hashlib.sha256((salt or b"") + (body or b"")).hexdigest()
            if said is None:
                found.add("message", execution_id, f"of event {version}: none is named")
            elif version < erased_before:
                wrong = f"of event {version} was erased by an event, and is there"
                found.add("message", execution_id, wrong)
            elif (said.bytes, said.sha256) != (len(body or b""), digest):
                found.add("message", execution_id, "is not what its event says")
        for version in told:
            if version < erased_before:
                found.erased += 1
            else:
                found.add("message", execution_id, f"of event {version} is missing")

    def _check_output(
        self, found: Findings, execution_id: UUID, number_: int, claims: Iterable[StreamDigest]
    ) -> Iterator[str]:
        """Return what is wrong with one output stream; `found` counts it if it was erased."""
        key = (execution_id.bytes, number_.to_bytes(2, "big"))
        stored = next(self._outputs.at(key), None)
        chunks = self._chunks.at(key)
        told = sorted((c for c in claims if c.kept_bytes), key=lambda claim: claim.kept_bytes)
        if execution_id in self._erased.outputs:
            found.erased += bool(told)
            yield from _wrong_erased(columns(stored) if stored is not None else None, chunks)
        elif stored is not None:
            yield from _wrong_output(columns(stored), chunks, told, number_)
        elif next(chunks, None) is not None:
            yield "has chunks, and no row that they belong to"
        elif told:
            yield f"{told[-1].kept_bytes} bytes of it are missing"
        for _ in chunks:
            pass  # said once is enough


def _wrong_erased(stored: list[bytes | None] | None, chunks: Iterator[Any]) -> Iterator[str]:
    """Return what is wrong with an output stream that an event erased: its marked row stays."""
    _, _, salt, _, kept_bytes, _, _, preview, erased_at = stored or [None] * 9
    if erased_at is None:
        yield "was erased by an event, and is not marked as erased"
    if salt or preview or number(kept_bytes) or next(chunks, None) is not None:
        yield "was erased by an event, and is there"


def _wrong_output(
    stored: list[bytes | None],
    chunks: Iterable[memoryview],
    claims: list[StreamDigest],
    number_: int,
) -> Iterator[str]:
    """Return what is wrong with one output stream, read chunk by chunk."""
    _, _, salt, *numbers, preview, erased_at = stored
    if erased_at is not None:
        yield "is marked as erased, and no event says so"
    next_offset, kept_bytes, omitted_from, omitted_to = map(number, numbers)
    hashed = hashlib.sha256(salt or b"")
    offset = kept = 0
    ends = b""
    for chunk in chunks:
        _, _, at, found = columns(chunk)
        start, data = number(at) or 0, found or b""
        if start == omitted_to and offset == omitted_from:
            offset = start
        if start != offset:
            yield f"a chunk begins at {start}, not at {offset}"
            offset = start
        while claims and claims[0].kept_bytes <= kept + len(data):
            claim = claims.pop(0)
            sealed = hashed.copy()
            sealed.update(data[: claim.kept_bytes - kept])
            if sealed.hexdigest() != claim.kept_sha256:
                yield f"its first {claim.kept_bytes} kept bytes are not those that its event names"
        hashed.update(data)
        offset, kept = offset + len(data), kept + len(data)
        ends = _ends(ends, data, number_)
    if claims:
        yield f"{claims[-1].kept_bytes} bytes were kept, and {kept} are there"
    if omitted_to is not None:
        offset = max(offset, omitted_to)
    if (next_offset, kept_bytes) != (offset, kept):
        yield f"should end at {offset} with {kept} kept bytes, not at {next_offset}, {kept_bytes}"
    if (preview or b"") != ends:
        yield "its preview is another text"


def _ends(ends: bytes, data: bytes, number_: int) -> bytes:
    """Return the beginning of stdout, or the end of stderr, as previews keep it."""
    if number_ == output.STREAMS["stdout"]:
        return ends if len(ends) >= PREVIEW_BYTES else (ends + data)[:PREVIEW_BYTES]
    return (ends + data)[-PREVIEW_BYTES:]
