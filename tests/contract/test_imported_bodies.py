"""Import takes a body that is there, or that an event erased, and refuses all else."""

import base64
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from projections.read_models import READ_MODELS
from projections.verify import verify
from store.archive import Refused
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
)
from tests.support.lives import live
from tests.support.postgres import Database, Postgres

__all__ = ["other", "still_empty"]

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
async def lived(postgres: Postgres) -> AsyncIterator[Database]:
    """A ledger with jobs too, and of which much was erased, stopped by now."""
    database = postgres.fresh()
    await live(database)
    yield database
    postgres.drop(database)


async def test_an_imported_ledger_is_sound_before_a_server_starts(
    lived: Database, other: Database
) -> None:
    """All that was erased counts as erased, and each job is looked at when it is due."""
    imported(other, exported(lived))
    before, after = (
        verify(database.owner, READ_MODELS, Path("/nowhere"), lambda *_: None).findings
        for database in (lived, other)
    )
    assert (after.shown, after.erased) == ({}, before.erased)
    assert after.erased > 0
    invariants.check(other.owner)


def _outputs(lines: Lines, *, erased: bool) -> Lines:
    rows = (line["row"] for line in lines if line.get("table") == "outputs")
    return [row for row in rows if (row["erased_at"] is not None) == erased]


def _without(lines: Lines, table: str, **columns: Any) -> None:
    """Drop the rows of a table with some values in some columns."""
    lines[:] = [
        line
        for line in lines
        if line.get("table") != table or not columns.items() <= line["row"].items()
    ]


def _mark_output(lines: Lines) -> None:
    _outputs(lines, erased=False)[0]["erased_at"] = "2026-01-01T00:00:00+00:00"


def _erase_output(lines: Lines) -> None:
    _mark_output(lines)
    row = _outputs(lines, erased=True)[0]
    row |= {"salt": "", "preview": "", "kept_bytes": 0}
    _without(lines, "output_chunks", execution_id=row["execution_id"])


def _drop_chunks(lines: Lines) -> None:
    _without(lines, "output_chunks")


def _drop_output(lines: Lines) -> None:
    _without(lines, "output_chunks")
    for row in _outputs(lines, erased=False):
        _without(lines, "outputs", execution_id=row["execution_id"])


def _drop_output_row(lines: Lines) -> None:
    _without(lines, "outputs", **_outputs(lines, erased=False)[0])


def _mark_what_has_none(lines: Lines) -> None:
    born = first_event(lines, "execution.lost")["stream_id"]
    row = {"execution_id": born, "stream": 1, "erased_at": "2026-01-01T00:00:00+00:00"}
    lines.append({"kind": "row", "table": "outputs", "row": {"salt": ""} | row})


def _unmark_output(lines: Lines) -> None:
    _outputs(lines, erased=True)[0]["erased_at"] = None


def _drop_mark(lines: Lines) -> None:
    _without(lines, "outputs", **_outputs(lines, erased=True)[0])


def _show_erased(lines: Lines) -> None:
    _outputs(lines, erased=True)[0]["preview"] = "AAAA"


def _put_back_chunk(lines: Lines) -> None:
    one, chunk = _outputs(lines, erased=True)[0], dict(first_row(lines, "output_chunks"))
    chunk |= {"execution_id": one["execution_id"], "stream": one["stream"]}
    lines.append({"kind": "row", "table": "output_chunks", "row": chunk})


def _drop_messages(lines: Lines) -> None:
    _without(lines, "messages")


def _put_back_message(lines: Lines) -> None:
    one = first_event(lines, "execution.bodies_erased")
    row = first_row(lines, "messages") | {
        "execution_id": one["stream_id"],
        "version": one["version"] - 1,
    }
    lines.append({"kind": "row", "table": "messages", "row": row})


def _edit_message(lines: Lines) -> None:
    first_row(lines, "messages")["body"] = "AAAA"


def _drop_configuration(lines: Lines) -> None:
    said = first_event(lines, "execution.created")["payload"]["configuration"]["sha256"]
    _without(lines, "configurations", digest=_packed(said))


def _drop_definition(lines: Lines) -> None:
    said = first_event(lines, "job.changed")["payload"]["definition"]["sha256"]
    _without(lines, "configurations", digest=_packed(said))


def _drop_what_came_back(lines: Lines) -> None:
    events = [line for line in lines if line.get("type") == "execution.bodies_erased"]
    said = [one["payload"]["configuration"] for one in events if "configuration" in one["payload"]]
    back = {_packed(one) for one in said} & {
        line["row"]["digest"] for line in lines if line.get("table") == "configurations"
    }
    _without(lines, "configurations", digest=back.pop())


def _put_back_configuration(lines: Lines) -> None:
    said = first_event(lines, "execution.bodies_erased")["payload"]["configuration"]
    row = {"digest": _packed(said), "salt": "", "body": ""}
    lines.append({"kind": "row", "table": "configurations", "row": row})


def _packed(digest: str) -> str:
    return base64.b64encode(bytes.fromhex(digest)).decode()


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (_mark_output, "output .* is marked as erased, and no event says so"),
        (_erase_output, "output .* is marked as erased, and no event says so"),
        (_mark_what_has_none, "output .* is marked as erased, and no event says so"),
        (_drop_chunks, "output .* is missing, and no event erased it"),
        (_drop_output, "output .* is missing, and no event erased it"),
        (_drop_output_row, "output .* is not what its event says"),
        (_unmark_output, "output .* was erased by an event, and is not marked as erased"),
        (_drop_mark, "output .* was erased by an event, and is not marked as erased"),
        (_show_erased, "output .* was erased by an event, and is there"),
        (_put_back_chunk, "output .* was erased by an event, and is there"),
        (_drop_messages, "message .* is missing, and no event erased it"),
        (_put_back_message, "message .* was erased by an event, and is there"),
        (_edit_message, "message .* is not what its event says"),
        (_drop_configuration, "configuration .* is missing, and no event erased it"),
        (_drop_definition, "configuration .* is missing, and no event erased it"),
        (_put_back_configuration, "configuration .* was erased by an event, and is there"),
        (_drop_what_came_back, "configuration .* is missing, and no event erased it"),
    ],
)
async def test_bodies_are_there_unless_events_erased_them(
    lived: Database, still_empty: Database, damage: Callable[[Lines], None], told: str
) -> None:
    """One that is missing or marked without an event is refused, and one that came back too."""
    with pytest.raises(Refused, match=told):
        imported(still_empty, resealed(exported(lived), damage))
    assert is_empty(still_empty)


async def test_what_cannot_be_read_may_have_erased_a_body(
    lived: Database, other: Database, postgres: Postgres
) -> None:
    """Given an event of a newer version, a configuration may be missing because of it."""
    lived = postgres.fresh(lived.name)
    append(lived, UUID(int=99), "job.bodies_gone", [b"{}"])
    imported(other, resealed(exported(lived), _drop_configuration))
    postgres.drop(lived)
