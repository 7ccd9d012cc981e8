"""A word that is none of those that a field takes is refused by naming them."""

from typing import Any

import msgspec
import pytest

from api import wire, wire_jobs
from api.problems import of_validation

_JOB = {"name": "n", "command": "true", "schedule": "@daily"}


@pytest.mark.parametrize(
    ("shape", "body", "detail"),
    [
        (
            wire.CreateExecution,
            {"job_name": "n", "command": "true", "triggered_by": "cron"},
            "triggered_by: must be one of manual, scheduled",
        ),
        (
            wire_jobs.CreateJob,
            _JOB | {"overlap_policy": "no"},
            "overlap_policy: must be one of ",
        ),
        (
            wire_jobs.CreateJob,
            _JOB | {"retry_config": {"on": ["timeout", "never"]}},
            "retry_config.on[1]: must be one of agent_lost, ",
        ),
    ],
)
def test_the_words_are_named(shape: Any, body: dict[str, Any], detail: str) -> None:
    """At the top, in a list, and within another object."""
    with pytest.raises(msgspec.ValidationError) as refused:
        msgspec.json.decode(msgspec.json.encode(body), type=shape)

    told = of_validation(refused.value, shape)

    assert told.detail.startswith(detail)
