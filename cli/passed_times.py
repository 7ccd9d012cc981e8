"""Due times on which nothing ran, as a table for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cli.table import cell, table, terminal_width, time_cell

_HEAD = ("DUE (UTC)", "UNTIL (UTC)", "TIMES", "WHAT", "WHY", "BLOCKED BY")


def listed(page: Mapping[str, Any], *, named: bool = True) -> str:
    """Return one page, with the jobs' names if `named`; an empty text if there are none."""
    if not page["data"]:
        return ""
    head = ("JOB", *_HEAD) if named else _HEAD
    rows = [_row(one, named=named) for one in page["data"]]
    return table(head, rows, elastic=0, width=terminal_width())


def _row(one: Mapping[str, Any], *, named: bool) -> tuple[str, ...]:
    several = one["first_due_at"] != one["last_due_at"]
    facts = (
        time_cell(one["first_due_at"]),
        time_cell(one["last_due_at"]) if several else "-",
        cell(one["count"] or "many"),
        cell(one["kind"]),
        cell(one["reason"]),
        cell(one["blocked_by"]),
    )
    return (cell(one["job_name"] or one["job_id"]), *facts) if named else facts
