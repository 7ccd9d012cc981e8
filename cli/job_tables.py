"""Jobs as tables and facts for people."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from cli.table import cell, table, terminal_width, time_cell

_HEAD = ("NAME", "SCHEDULE", "ZONE", "STATE", "NEXT (UTC)", "LAST (UTC)", "STATUS", "ID")
_NAME_COLUMN = 0


def listed(page: Mapping[str, Any]) -> str:
    """Return one page of jobs."""
    if not page["data"]:
        return "no jobs match"
    rows = [_row(job) for job in page["data"]]
    lines = table(_HEAD, rows, elastic=_NAME_COLUMN, width=terminal_width())
    return f"{lines}\n\n{len(rows)} of {page['pagination']['total']}"


def _row(job: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        cell(job["name"]),
        cell(job["schedule"]),
        cell(job["timezone"]) if job["schedule"] else "-",
        "enabled" if job["is_enabled"] else "paused",
        time_cell(job["next_run_at"]),
        time_cell(job["last_run_at"]),
        cell(job["last_status"]),
        cell(job["id"]),
    )


def shown(job: Mapping[str, Any]) -> str:
    """Return the facts of one job."""
    facts = [(name, value) for name, value in _facts(job) if value]
    width = max(len(name) for name, _ in facts)
    return "\n".join(f"{name.ljust(width)}  {value}" for name, value in facts)


def _facts(job: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    get = job.get
    yield "id", cell(get("id"))
    yield "name", cell(get("name"))
    yield "state", f"{'enabled' if get('is_enabled') else 'paused'}, version {get('version')}"
    yield "schedule", _schedule(job)
    yield "next run", f"{time_cell(get('next_run_at'))} UTC" if get("next_run_at") else ""
    yield "last run", f"{time_cell(get('last_run_at'))} UTC" if get("last_run_at") else ""
    yield "last status", cell(get("last_status")) if get("last_status") else ""
    yield "command", command(get("command"))
    yield "working dir", cell(get("working_dir")) if get("working_dir") else ""
    yield "timeout", f"{get('timeout_seconds')} s"
    for name, value in sorted((get("environment") or {}).items()):
        yield "environment", cell(f"{name}={value}")
    yield "secrets", _words(get("secrets"))
    yield "agent", cell(get("agent_id")) if get("agent_id") else ""
    yield "tags", _words(get("tags"))
    yield "labels", _words(get("labels"))
    limit = f", at most {get('missed_limit')}" if get("missed_limit") else ""
    yield "if missed", cell(get("missed_policy")) + limit
    yield "if it still runs", cell(get("overlap_policy"))
    yield "at once", str(get("max_concurrent") or "")
    for tag, count in (get("max_concurrent_per_tag") or {}).items():
        yield "at once", cell(f"{count} with the tag {tag}")
    yield "start within", _seconds(get("start_deadline_seconds"))
    yield "jitter", _seconds(get("jitter_seconds"))
    yield "retries", _retries(get("retry_config"))
    for event, addresses in (get("notification_config") or {}).items():
        yield event.replace("_", " "), _words(addresses)


def _schedule(job: Mapping[str, Any]) -> str:
    if job["schedule"] is None:
        return "none: it runs when somebody asks"
    same = job["schedule"] == job["schedule_cron"]
    cron = "" if same else f" ({cell(job['schedule_cron'])})"
    return f"{cell(job['schedule'])}{cron}, {cell(job['timezone'])}"


def _retries(config: Mapping[str, Any] | None) -> str:
    if not config:
        return ""
    waits = ", ".join(f"{seconds} s" for seconds in config["intervals_seconds"])
    return cell(f"{config['max_retries']}, after {waits}; on {', '.join(config['on'])}")


def _seconds(value: object) -> str:
    return f"{value} s" if value else ""


def _words(values: Any) -> str:
    return cell(", ".join(values)) if values else ""


def command(value: object) -> str:
    """Return a command on one line."""
    if isinstance(value, list):
        return cell(shlex.join(str(part) for part in value))
    return cell(value)


def explained(explanation: Mapping[str, Any]) -> str:
    """Return what a schedule means, and when it is due next."""
    lines = [
        f"{cell(explanation['schedule_cron'])}  {cell(explanation['sentence'])}",
        "",
        *(f"{time_cell(due['at'])} UTC  {cell(due['local'])}" for due in explanation["next"]),
    ]
    return "\n".join(lines)
