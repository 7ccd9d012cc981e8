"""The operations on due times on which nothing ran."""

from typing import Final

from api.described.jobs import ONE
from api.described.operation import Operation, parameter
from api.routes.jobs import PATH
from api.routes.schedule import BEFORE_MAX, LIMIT_DEFAULT, LIMIT_MAX
from api.wire_schedule import PassedTimeList

_PAGE: Final = (
    parameter(
        "limit",
        "query",
        {"type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "default": LIMIT_DEFAULT},
        "How many at most",
    ),
    parameter(
        "before",
        "query",
        {"type": "integer", "minimum": 1, "maximum": BEFORE_MAX},
        "Only what was recorded before this position: next_before of the page before",
    ),
)

OPERATIONS: Final = (
    Operation(
        *("get", PATH + "/skipped", "listSkipped", "Due times on which no job ran", "jobs"),
        answers={200: ("What was recorded last, first", PassedTimeList)},
        parameters=_PAGE,
        errors=(400,),
    ),
    Operation(
        *("get", ONE + "/skipped", "listSkippedOfJob", "Due times on which it did not run", "jobs"),
        answers={200: ("What was recorded last, first", PassedTimeList)},
        parameters=(
            parameter("job_id", "path", {"type": "string"}, "The id of a job"),
            *_PAGE,
        ),
        errors=(400, 404),
    ),
)
