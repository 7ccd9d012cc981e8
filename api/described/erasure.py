"""The operations on bodies that go."""

from typing import Final

from api import wire, wire_erasure
from api.described.jobs import JOB_ID
from api.described.jobs import ONE as JOB
from api.described.operation import ID, ONE, Operation

_ERASING: Final = (
    " What an execution names goes for good, in one transaction with the event"
    " `execution.bodies_erased`, which stays; lengths and digests stay too. Only what has ended"
    " can be erased. A retry of an execution without its configuration is refused."
)

OPERATIONS: Final = (
    Operation(
        *("post", ONE + "/erase", "eraseBodies", "Erase output or configuration", "executions"),
        answers={200: ("The execution without them", wire.Execution)},
        scope="admin",
        notes=_ERASING,
        parameters=(ID,),
        body=wire_erasure.EraseBodies,
        body_required=False,
        errors=(400, 403, 404, 409, 413, 415),
    ),
    Operation(
        *("post", JOB + "/erase", "eraseJobTexts", "Erase texts that a job had", "jobs"),
        answers={200: ("How many went", wire_erasure.ErasedJobTexts)},
        scope="admin",
        notes=(
            " All that the job's events name and that it has no more goes for good: former"
            " commands, variables, schedules as written, addresses of webhooks. Of a deleted job"
            " that is everything. The event `job.bodies_erased` stays."
        ),
        parameters=(JOB_ID,),
        body=wire_erasure.EraseJobTexts,
        body_required=False,
        errors=(400, 403, 404, 409, 413, 415),
    ),
    Operation(
        *("get", "/v1/retention", "showRetention", "How long output is kept", "operations"),
        answers={200: ("What is kept, and what is due to go", wire_erasure.Retention)},
        errors=(400,),
    ),
)
