"""The operation that tells how much ended how."""

from typing import Final

from api import wire_statistics
from api.described.operation import MOMENT, Operation, any_of, parameter
from api.routes.executions import PATH

OPERATIONS: Final = (
    Operation(
        *("get", PATH + "/stats", "executionStatistics", "How much ended how", "executions"),
        answers={200: ("Summaries by interval and job", wire_statistics.Statistics)},
        notes=" At most 1,000 summaries; a request for more is a 400.",
        parameters=(
            any_of("job_id", None, "Executions of this job", length_min=1),
            parameter("from", "query", MOMENT, "From the interval that this time is in"),
            parameter("to", "query", MOMENT, "Up to the end of the interval before this time"),
            parameter(
                "interval",
                "query",
                {"enum": ["hour", "day", "all"]},
                "How long each is, in UTC; day with from or to, else all of time",
            ),
            parameter(
                "group_by",
                "query",
                {"enum": ["all", "job"], "default": "all"},
                "All these jobs together, or each by itself",
            ),
        ),
        errors=(400,),
    ),
)
