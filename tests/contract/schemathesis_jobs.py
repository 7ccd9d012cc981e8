"""What JSON Schema cannot say of the operations on jobs: see schemathesis_hooks.py."""

import itertools
from typing import Any, Final

from schemathesis import Case

_SCHEDULES: Final = ("every 5 minutes", "@daily", "0 3 * * 1-5", "every weekday at 9am")
_numbers: Final = itertools.count(1)


def repair(operation: str | None, case: Case[Any]) -> None:
    """Repair one valid case of an operation on jobs; leave all others alone."""
    body: Any = case.body
    if "If-Match" in case.headers:
        # The version that a job must have is the one that it has.
        case.headers["If-Match"] = "*"
    if operation == "explainSchedule":
        # A schedule is one that comes round, and a time zone one that there is.
        case.query["schedule"] = _schedule(case.query["schedule"])
        if "timezone" in case.query:
            case.query["timezone"] = "Europe/Berlin"
    elif operation in {"createJob", "changeJob"} and isinstance(body, dict):
        _repair_job(body)
        if operation == "createJob":
            # A name is taken once.
            body["name"] = f"{body['name'][:100]}-{next(_numbers)}"
            body.pop("id", None)
    elif operation == "createWebhook" and isinstance(body, dict):
        # A name is taken once; nobody answers there, and of no job is anything told.
        body["name"] = f"hook-{next(_numbers)}"
        body |= {"url": "http://127.0.0.1:9/x", "tags": ["of-no-job"]}


def _repair_job(body: dict[str, Any]) -> None:
    if body.get("schedule") is not None:
        body["schedule"] = _schedule(body["schedule"])
    if "timezone" in body:
        body["timezone"] = "Europe/Berlin"
    # A secret is the name of a variable that is given, and its value stands nowhere else.
    if "secrets" in body:
        body["secrets"] = []
    if (body.get("timeout_seconds") or 0) > 3600:
        body["timeout_seconds"] = 3600
    command = body.get("command")
    if isinstance(command, str) and not command.strip():
        body["command"] = "true"
    elif isinstance(command, list) and not command[0].strip():
        command[0] = "true"
    # What comes due is for an agent that never comes: other tests claim what is for anyone.
    body["agent_id"] = "nobody"
    # How many missed times are made up for is said with run_all alone.
    if body.get("missed_limit") is not None:
        body["missed_policy"] = "run_all"
    # Limits are those of the job's own tags.
    if body.get("max_concurrent_per_tag"):
        body["tags"] = list(body["max_concurrent_per_tag"])
    for name, addresses in body.get("notification_config", {}).items():
        body["notification_config"][name] = ["https://hooks.example/x" for _ in addresses]


def _schedule(text: str) -> str:
    return _SCHEDULES[len(text) % len(_SCHEDULES)]
