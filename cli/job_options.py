"""The options that say what a job is, and the request that they become."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from typing import Any

from cli.arguments import at_least
from cli.arguments import name as name_type
from cli.usage import UsageError

_RETRY_ON = (
    *("exit_code", "signal", "timeout", "agent_lost"),
    *("not_started", "spawn_failed", "agent_shutdown"),
)
_EVENTS = ("on_failure", "on_success", "on_recovery", "on_missed")
# What `edit --unset` can take away, and what the job has then.
_UNSET: dict[str, Any] = {
    **dict.fromkeys(("schedule", "working_dir", "timeout_seconds", "agent_id", "retry_config")),
    **dict.fromkeys(("max_concurrent", "start_deadline_seconds", "jitter_seconds")),
    "tags": [],
    "labels": [],
    "environment": {},
    "secrets": [],
    "max_concurrent_per_tag": {},
    "notification_config": {name: [] for name in _EVENTS},
}


def add(parser: argparse.ArgumentParser) -> None:
    """Add the options that create and edit share."""
    one, many = parser.add_argument, _repeatable(parser)
    one("--schedule", metavar="WHEN", help='cron, @daily, or a phrase: "every weekday at 9am"')
    one("--timezone", metavar="ZONE", help="an IANA time zone (default UTC)")
    one("--command", metavar="TEXT", help="run by /bin/sh -c; or give the command after --")
    one("--working-dir", metavar="DIR", help="where the command runs")
    one("--timeout", dest="timeout_seconds", metavar="SECONDS", type=at_least(1))
    many("--env", "NAME=VALUE", "a variable of the command")
    many("--secret", "NAME", "the same from this environment, stored encrypted, masked in output")
    many("--tag", "TAG", "what it belongs to", type=name_type)
    many("--label", "LABEL", "only agents that have it may run it", type=name_type)
    one("--agent-id", metavar="ID", type=name_type, help="only this agent may run it")
    one("--paused", dest="is_enabled", action="store_const", const=False, help="not due yet")
    one("--missed", dest="missed_policy", choices=("run_once", "skip", "run_all"))
    one("--missed-limit", metavar="N", type=at_least(1), help="with run_all: at most N")
    one("--overlap", dest="overlap_policy", choices=("allow", "skip", "queue", "cancel_running"))
    one("--max-concurrent", metavar="N", type=at_least(1), help="of this job at once")
    many("--max-concurrent-per-tag", "TAG=N", "of all jobs with this tag at once")
    one("--start-deadline", dest="start_deadline_seconds", metavar="SECONDS", type=at_least(1))
    one("--jitter", dest="jitter_seconds", metavar="SECONDS", type=at_least(0))
    one("--retries", dest="max_retries", metavar="N", type=at_least(0), help="retry by itself")
    many("--retry-after", "SECONDS", "wait so long; again for the next one", type=at_least(0))
    one("--retry-backoff", dest="backoff_factor", metavar="N", type=at_least(1))
    many("--retry-on", "FAILURE", f"of {', '.join(_RETRY_ON)}", choices=_RETRY_ON)
    many("--retry-exit-code", "CODE", "only these", type=at_least(1))
    for event in _EVENTS:
        many(f"--{event.replace('_', '-')}", "URL", f"a webhook: {event.replace('_', ' ')}")


def add_for_edit(parser: argparse.ArgumentParser) -> None:
    """Add what only a change has."""
    parser.add_argument(
        "--unset", metavar="FIELD", action="append", default=[], choices=sorted(_UNSET),
        help=f"take it away: {', '.join(sorted(_UNSET))}",
    )  # fmt: skip
    parser.add_argument(
        "--version", metavar="N", type=at_least(1), help="only if the job is still at this version"
    )


def _repeatable(parser: argparse.ArgumentParser) -> Any:
    def many(option: str, metavar: str, text: str, **kinds: Any) -> None:
        parser.add_argument(
            option, metavar=metavar, action="append", help=f"{text} (repeatable)", **kinds
        )

    return many


def body(args: argparse.Namespace) -> dict[str, Any]:
    """Return what the options say, as the API takes it. Raises `UsageError`."""
    said: dict[str, Any] = {name: _UNSET[name] for name in getattr(args, "unset", [])}
    for name in (
        *("schedule", "timezone", "working_dir", "timeout_seconds", "agent_id", "is_enabled"),
        *("missed_policy", "missed_limit", "overlap_policy", "max_concurrent"),
        *("start_deadline_seconds", "jitter_seconds"),
    ):
        if getattr(args, name) is not None:
            said[name] = getattr(args, name)
    if args.command is not None and args.command_line:
        raise UsageError("give the command after --, or with --command, not both")
    if args.command is not None or args.command_line:
        said["command"] = args.command_line or args.command
    if args.tag:
        said["tags"] = args.tag
    if args.label:
        said["labels"] = args.label
    if args.env or args.secret:
        said["environment"] = dict(_pair("--env", text) for text in args.env or ())
        said["environment"].update((name, _of_environment(name)) for name in args.secret or ())
    if args.secret:
        said["secrets"] = args.secret
    if args.max_concurrent_per_tag:
        pairs = [_pair("--max-concurrent-per-tag", text) for text in args.max_concurrent_per_tag]
        said["max_concurrent_per_tag"] = {tag: _number(count) for tag, count in pairs}
    said.update(_retries(args))
    targets = {name: getattr(args, name) for name in _EVENTS if getattr(args, name)}
    if targets:
        said["notification_config"] = targets
    return said


def added_to(job: Mapping[str, Any], said: dict[str, Any]) -> dict[str, Any]:
    """Return a change of `job` in which variables come to those that it has."""
    if "environment" not in said or not said["environment"]:
        return said
    plain = {
        name: one for name, one in job["environment"].items() if name not in said["environment"]
    }
    merged = {**said, "environment": {**plain, **said["environment"]}}
    if "secrets" in said:
        merged["secrets"] = sorted({*job["secrets"], *said["secrets"]})
    return merged


def _retries(args: argparse.Namespace) -> dict[str, Any]:
    given = {
        "intervals_seconds": args.retry_after,
        "backoff_factor": args.backoff_factor,
        "on": args.retry_on,
        "exit_codes": args.retry_exit_code,
    }
    config = {name: value for name, value in given.items() if value is not None}
    if args.max_retries is None:
        if config:
            raise UsageError("how it is retried says nothing without --retries")
        return {}
    return {"retry_config": {"max_retries": args.max_retries, **config}}


def _pair(option: str, text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise UsageError(f"{option} {text!r} must be NAME=VALUE")
    return name, value


def _number(text: str) -> int:
    try:
        return at_least(1)(text)
    except argparse.ArgumentTypeError as error:
        raise UsageError(f"--max-concurrent-per-tag: {error}") from error


def _of_environment(name: str) -> str:
    value = os.environ.get(name)
    if value is None:
        raise UsageError(f"--secret {name}: there is no such variable in this environment")
    return value
