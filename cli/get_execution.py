"""`cronledger get`: one execution, with its whole output."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Mapping
from typing import Any

from agent.client import Client
from cli.connection import execution_path, print_json, with_server
from cli.table import cell, duration_cell, shown_output, time_cell


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("id", metavar="ID", help="the execution")
    parser.add_argument(
        "--as-of", metavar="WHEN", help="as it stood at this position, or time in ISO 8601"
    )
    parser.add_argument("--json", action="store_true", help="print the server's JSON")


def run(args: argparse.Namespace) -> int:
    """Print the execution."""
    return with_server(lambda client: _get(client, args))


def _get(client: Client, args: argparse.Namespace) -> int:
    query = [] if args.as_of is None else [("as_of", args.as_of)]
    answer = client.get(execution_path(args.id), query)
    if args.json:
        print_json(answer)
        return 0
    execution = answer.json()
    facts = _facts(execution)
    width = max(len(name) for name, _ in facts)
    for name, value in facts:
        print(f"{name.ljust(width)}  {value}")
    _print_text("output", execution.get("output"))
    _print_text("error", execution.get("error"))
    if execution.get("stderr") and execution.get("stderr") != execution.get("error"):
        _print_text("stderr", execution["stderr"])
    return 0


def _facts(execution: Mapping[str, Any]) -> list[tuple[str, str]]:
    get = execution.get
    optional = (
        ("cancel asked", time_cell(get("cancel_requested_at")), get("cancel_requested_at")),
        ("retry of", cell(get("retry_of")), get("retry_of")),
        ("retried as", cell(get("retried_as")), get("retried_as")),
        ("pinned to", cell(get("pinned_agent_id")), get("pinned_agent_id")),
        ("held by", cell(get("held")), get("held")),
        ("labels", cell(", ".join(get("labels") or ())), get("labels")),
        ("start within", f"{get('start_deadline_seconds')} s", get("start_deadline_seconds")),
        ("expected", _expected(execution), get("expected_schedule")),
        ("output", "secrets in it are masked", get("masked")),
        ("output", f"erased {time_cell(get('output_erased_at'))} UTC", get("output_erased_at")),
        ("configuration", "erased", get("configuration_erased")),
        ("late outcome", _late(get("late_outcome") or {}), get("late_outcome")),
    )
    return [
        ("id", cell(get("id"))),
        ("job", f"{cell(get('job_name'))} ({cell(get('job_id'))})"),
        ("status", _status(execution)),
        ("command", _command(get("command"))),
        ("triggered by", f"{cell(get('triggered_by'))}, attempt {cell(get('attempt'))}"),
        ("agent", cell(get("agent_id"))),
        ("created", f"{time_cell(get('created_at'))} UTC"),
        ("started", time_cell(get("started_at"))),
        ("completed", time_cell(get("completed_at"))),
        ("duration", duration_cell(get("duration_ms") or 0)),
        *((name, value) for name, value, present in optional if present),
    ]


def _late(late: Mapping[str, Any]) -> str:
    """Return how it really ended, which the agent told after it had been given up."""
    code = "" if late.get("exit_code") is None else f", exit code {late['exit_code']}"
    return f"{cell(late.get('outcome'))}{code}, told {time_cell(late.get('reported_at'))} UTC"


def _expected(execution: Mapping[str, Any]) -> str:
    return cell(
        f"{execution.get('expected_schedule')} {execution.get('expected_timezone') or 'UTC'}"
    )


def _status(execution: Mapping[str, Any]) -> str:
    parts = [cell(execution["status"])]
    if execution.get("exit_code") is not None:
        parts.append(f"exit code {execution['exit_code']}")
    if execution.get("failure_reason") not in {None, "exit_code"}:
        parts.append(cell(execution["failure_reason"]))
    return ", ".join(parts)


def _command(command: object) -> str:
    if isinstance(command, list):
        return cell(shlex.join(str(part) for part in command))
    return cell(command)


def _print_text(name: str, text: str | None) -> None:
    if text:
        print(f"\n--- {name}\n{shown_output(text)}", end="" if text.endswith("\n") else "\n")
