"""Export and import: the same ledger again, byte for byte, or a refusal and nothing at all."""

import base64
import io
import json
from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import UUID

import psycopg
import pytest
import zstandard

from domain import commands
from store import archive, exporting, importing, tokens
from store.archive import Refused
from store.keys import Keys
from tests.support import invariants
from tests.support.archives import (
    Lines,
    append,
    exported,
    first_event,
    first_row,
    imported,
    is_empty,
    other,
    resealed,
    still_empty,
    stored_rows,
)
from tests.support.ledgers import NOTHING, Desk, running_ledger
from tests.support.postgres import KEYS, Database, Postgres

__all__ = ["other", "still_empty"]

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
async def eventful(postgres: Postgres) -> AsyncIterator[Database]:
    """A ledger in which something of everything has happened; nobody works on it any more."""
    database = postgres.fresh()
    async with running_ledger(database) as ledger:
        desk = Desk(ledger)
        await desk.do(desk.create(key="again", labels=("gpu",), start_deadline_seconds=3600))
        await desk.do(desk.create(pinned_agent_id="here", color="red"))
        state = await desk.begun()
        told = await desk.write(state, b"out\n\0\xff" * 2000, b"err" * 3000)
        await desk.do(desk.complete(state.id, state.fence, ending=told))
        failed = await desk.ended(exit_code=3)
        await desk.do(desk.retry(failed.id))
        running = await desk.begun()
        await desk.write(running, b"not yet at its end")
        await desk.do(desk.cancel((await desk.begun()).id))
        lost = await desk.begun()
        await desk.do(desk.give_up(commands.Lose, lost.id))
        late = await desk.begun(timeout_seconds=None)
        await desk.do(desk.give_up(commands.Lose, late.id))
        await desk.do(desk.complete(late.id, late.fence, exit_code=0))
    invariants.check(database.owner)
    yield database
    postgres.drop(database)


async def test_an_imported_ledger_is_the_same_and_exports_the_same_bytes(
    eventful: Database, other: Database
) -> None:
    """Log, bodies and read model are equal; what waits and runs is held as before."""
    # given
    content = exported(eventful)
    # when
    done = imported(other, content)
    # then
    assert exported(other) == content
    assert done.ledger_id == eventful.ledger_id
    for table in ("ledger.events", "read.executions_1", "read.projections", "store.pending"):
        columns = "execution_id, pinned_agent_id, configuration, labels"
        shown = columns if table == "store.pending" else "*"
        assert stored_rows(other, table, shown) == stored_rows(eventful, table, shown)
    columns = "execution_id, fence, agent_id, deadline_at IS NULL, lost_at IS NOT NULL"
    assert [(one, *rest) for one, *rest, _ in stored_rows(other, "store.leases", columns)] == [
        row[:4]
        for row in stored_rows(eventful, "store.leases", columns)
        if row[0] in _held(eventful)
    ]
    assert stored_rows(other, "store.cancels", "execution_id, 0") == stored_rows(
        eventful, "store.cancels", "execution_id, 0"
    )
    invariants.check(other.owner)


def _held(database: Database) -> set[UUID]:
    """Executions whose agent may still tell something."""
    rows = stored_rows(database, "read.executions_1", "id, status, observed_by, late_outcome")
    return {
        execution_id
        for execution_id, status, observer, late in rows
        if status == "running" or (observer == "server" and late is None)
    }


async def test_an_imported_ledger_goes_on(eventful: Database, other: Database) -> None:
    """What was pending is claimed, what ran is completed, what was given up may still be told."""
    # given
    imported(other, exported(eventful))
    with other.as_owner() as owner:
        found = owner.execute(
            "SELECT e.status, e.id, l.fence FROM store.leases l JOIN read.executions_1 e"
            " ON e.id = l.execution_id WHERE e.cancel_requested_at IS NULL"
        ).fetchall()
    held = {status: (execution_id, fence) for status, execution_id, fence in found}
    moved = Database(other.name, other.owner, other.conninfo, eventful.ledger_id)
    # when
    async with running_ledger(moved) as ledger:
        desk = Desk(ledger)
        claimed = await desk.do(desk.claim("here"))
        labelled = await desk.do(desk.claim("there", "gpu"))
        ended = await desk.do(desk.complete(*held["running"], ending=await _told(desk, held)))
        late = await desk.do(desk.complete(*held["failed"], exit_code=0))
    # then
    assert claimed.execution is not None
    assert labelled.execution is not None
    assert (ended.changed, late.changed) == (True, True)
    invariants.check(other.owner)


async def _told(desk: Desk, held: dict[str, tuple[UUID, UUID]]) -> Any:
    standing = await desk.ledger.standing(held["running"][0])
    return await desk.ledger.ending(standing, NOTHING)


async def test_an_export_holds_no_token_and_no_secret(eventful: Database) -> None:
    """Nor what is only good for a while."""
    with eventful.as_server() as connection:
        secret = tokens.create(connection, UUID(int=5), "a-token-of-this-test", ["admin"])
    content = exported(eventful)
    tables = {line["table"] for line in map(json.loads, content.splitlines()) if "table" in line}
    assert tables <= exporting.TABLES.keys()
    for hidden in (secret, "a-token-of-this-test", "swordfish-4711"):
        assert hidden.encode() not in content


def test_every_table_of_the_store_is_exported_or_known_not_to_be(database: Database) -> None:
    """A new table must be decided on: else an import would silently be without it."""
    with database.as_owner() as owner:
        found = owner.execute(
            "SELECT table_name::text FROM information_schema.tables WHERE table_schema = 'store'"
        ).fetchall()
    decided = exporting.TABLES.keys() | exporting.MADE_ANEW | exporting.LEFT_OUT
    assert {name for (name,) in found} == decided


async def test_an_export_is_of_one_moment(
    eventful: Database, other: Database, postgres: Postgres
) -> None:
    """What is recorded while it is written is not in it, nor half of it."""
    # given
    eventful = postgres.fresh(eventful.name)
    output = io.BytesIO()
    begun = False

    def record(_: int) -> None:
        nonlocal begun
        if not begun:
            begun = True
            with eventful.as_owner() as owner:
                owner.execute("INSERT INTO store.expected_jobs VALUES ('new', gen_random_uuid())")

    # when
    with psycopg.connect(eventful.conninfo, autocommit=True) as connection:
        exporting.export(connection, archive.Writer(output), record)
    # then
    assert begun
    assert b'"job_id":"new"' not in output.getvalue()
    imported(other, output.getvalue())
    postgres.drop(eventful)


async def test_payloads_that_are_no_json_come_back_as_they_were(
    eventful: Database, other: Database, postgres: Postgres
) -> None:
    """Events of types that nobody knows, and bytes that are no text, survive the journey."""
    # given
    eventful = postgres.fresh(eventful.name)
    odd = [b"\xff\x00", b' {"a":1}', b'{"a":\n1}', b"", b'{"b":[1.50,"\\u0000"]}']
    append(eventful, UUID(int=99), "job.unheard_of", odd)
    # when
    content = exported(eventful)
    imported(other, content)
    # then
    postgres.drop(eventful)
    assert exported(other) == content
    found = stored_rows(other, "ledger.events", "position, payload, stream_id")
    assert [payload for _, payload, stream in found if stream == UUID(int=99)] == odd


async def test_a_packed_file_is_known_by_its_content(eventful: Database, other: Database) -> None:
    """Whatever it is called; and cut, it is refused."""
    content = zstandard.ZstdCompressor(write_checksum=True).compress(exported(eventful))
    with pytest.raises(Refused):
        imported(other, content[: len(content) // 2])
    assert is_empty(other)
    imported(other, content)
    assert exported(other) == exported(eventful)


async def test_a_ledger_that_is_not_empty_takes_nothing(eventful: Database) -> None:
    """Refused before a line is read, also of its own export."""
    content = exported(eventful)
    with pytest.raises(Refused, match="not empty"):
        imported(eventful, content)
    assert exported(eventful) == content


async def test_a_ledger_that_somebody_works_on_takes_nothing(
    eventful: Database, still_empty: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server would go on under its old name."""
    monkeypatch.setattr(importing, "_OTHERS_SECONDS", 0.1)
    with still_empty.as_server(), pytest.raises(Refused, match="stop the servers"):
        imported(still_empty, exported(eventful))
    assert is_empty(still_empty)


async def test_another_secret_key_is_refused(eventful: Database, still_empty: Database) -> None:
    """Without the key of the ledger its secrets would be lost."""
    with pytest.raises(Refused, match="secret-key"):
        imported(still_empty, exported(eventful), Keys(bytes(32)))
    assert is_empty(still_empty)


def _edit_payload(lines: Lines) -> None:
    first_event(lines)["payload"]["ending"]["exit_code"] = 7


def _edit_actor(lines: Lines) -> None:
    first_event(lines)["actor"] = "operator:tok_another"


def _swap(lines: Lines) -> None:
    lines[2], lines[3] = lines[3], lines[2]


def _drop_event(lines: Lines) -> None:
    del lines[3]


def _repeat_event(lines: Lines) -> None:
    lines.insert(3, lines[3])


def _drop_last_event(lines: Lines) -> None:
    del lines[max(n for n, line in enumerate(lines) if line["kind"] == "event")]


def _other_ledger(lines: Lines) -> None:
    lines[0]["ledger_id"] = str(UUID(int=1))
    lines[0]["key_check"] = base64.b64encode(KEYS.check(UUID(int=1))).decode()


def _newer_format(lines: Lines) -> None:
    lines[0]["format"] = 2


def _unknown_table(lines: Lines) -> None:
    next(line for line in lines if line.get("table") == "outputs")["table"] = "tokens"


def _unknown_column(lines: Lines) -> None:
    first_row(lines, "outputs")["erased_by_whom"] = "x"


def _edit_output(lines: Lines) -> None:
    row = first_row(lines, "output_chunks")
    row["bytes"] = ("B" if row["bytes"][0] == "A" else "A") + row["bytes"][1:]


def _edit_preview(lines: Lines) -> None:
    first_row(lines, "outputs")["preview"] = "AAAA"


def _edit_configuration(lines: Lines) -> None:
    row = first_row(lines, "configurations")
    row["body"] = ("B" if row["body"][0] == "A" else "A") + row["body"][1:]


def _no_base64(lines: Lines) -> None:
    first_row(lines, "outputs")["salt"] = "!"


def _negative_stream(lines: Lines) -> None:
    first_row(lines, "outputs")["stream"] = 3


def _rows_before_events(lines: Lines) -> None:
    lines.insert(1, lines.pop())


def _no_beginning(lines: Lines) -> None:
    del lines[0]


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (_edit_payload, "was changed"),
        (_edit_actor, "was changed"),
        (_swap, "follows position"),
        (_drop_event, "follows position"),
        (_repeat_event, "follows position"),
        (_drop_last_event, "should at"),
        (_other_ledger, "was changed"),
        (_newer_format, "upgrade"),
        (_unknown_table, "newer version"),
        (_unknown_column, "newer version"),
        (_edit_output, "not what its event says"),
        (_edit_preview, "not what its event says"),
        (_edit_configuration, "not what its digest says"),
        (_no_base64, "damaged"),
        (_negative_stream, "does not take"),
        (_rows_before_events, "should at"),
        (_no_beginning, "no export"),
    ],
)
async def test_what_was_changed_with_care_is_found(
    eventful: Database, still_empty: Database, damage: Callable[[Lines], None], told: str
) -> None:
    """Though the last line was made anew: by the chain, the digests, or the form."""
    with pytest.raises(Refused, match=told):
        imported(still_empty, resealed(exported(eventful), damage))
    assert is_empty(still_empty)


async def test_what_was_damaged_by_chance_is_found(
    eventful: Database, still_empty: Database
) -> None:
    """Cut anywhere, a byte flipped anywhere, something added: refused, and nothing is left."""
    content = exported(eventful)
    lines = content.splitlines(keepends=True)
    damaged = [
        b"",
        b"no export\n",
        content + b"\n",
        content + lines[1],
        *(b"".join(lines[:count]) for count in (1, 2, len(lines) // 2, len(lines) - 1)),
        *(content[:size] for size in (10, len(content) // 3, len(content) - 1)),
        *(_flipped(content, at) for at in range(50, len(content), len(content) // 12)),
        b"".join([*lines[:-2], lines[-1]]),
    ]
    for one in damaged:
        with pytest.raises(Refused):
            imported(still_empty, one)
    assert is_empty(still_empty)


def _flipped(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]
