"""The operations on jobs: what is to run, when, and by which rules."""

from typing import Any, Final

from api import wire, wire_jobs
from api.described.operation import IDEMPOTENCY, Operation, parameter
from api.parameters import OFFSET_MAX
from api.routes import executions
from api.routes.jobs import LIMIT_DEFAULT, LIMIT_MAX, PATH

ONE: Final = PATH + "/{job_id}"
JOB_ID: Final = parameter("job_id", "path", {"type": "string"}, "The id of a job")
_TEXT: Final = {"type": "string", "pattern": wire.NO_NUL_PATTERN}
_IF_MATCH: Final = parameter(
    "If-Match",
    "header",
    {"type": "string", "pattern": '^("[0-9]{1,9}"|\\*)$'},
    "The ETag that the job must still have, else 412",
)
_CHANGES: Final = (400, 403, 404, 409, 412)
_OF_JOB: Final = ("getJob", "changeJob", "pauseJob", "resumeJob", "runJob", "jobEvents")
_ETAG: Final = " The answer's ETag is the job's version, for If-Match."


def _links(names: tuple[str, ...], pointer: str) -> dict[str, Any]:
    parameters = {"path.job_id": f"$response.body#{pointer}"}
    return {name: {"operationId": name, "parameters": parameters} for name in names}


OPERATIONS: Final = (
    Operation(
        *("get", PATH, "listJobs", "List jobs, newest first", "jobs"),
        answers={200: ("One page", wire_jobs.JobList)},
        parameters=(
            parameter("tag", "query", _TEXT, "Jobs with this tag"),
            parameter("is_enabled", "query", {"type": "boolean"}, "Enabled ones, or paused ones"),
            parameter("agent_id", "query", _TEXT, "Jobs that only this agent may run"),
            parameter(
                "q",
                "query",
                _TEXT,
                "Jobs with this text in their name, in any case of ASCII letters",
            ),
            parameter(
                "limit",
                "query",
                {"type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "default": LIMIT_DEFAULT},
                "How many at most",
            ),
            parameter(
                "offset",
                "query",
                {"type": "integer", "minimum": 0, "maximum": OFFSET_MAX, "default": 0},
                "How many to skip",
            ),
        ),
        errors=(400,),
        links={200: _links(("getJob",), "/data/0/id")},
    ),
    Operation(
        *("post", PATH, "createJob", "Define a job", "jobs"),
        answers={201: ("The job", wire_jobs.Job)},
        scope="jobs",
        parameters=(IDEMPOTENCY,),
        body=wire_jobs.CreateJob,
        errors=(400, 403, 409, 413, 415, 422),
        links={201: _links(_OF_JOB, "/id")},
    ),
    Operation(
        *("get", PATH + "/explain", "explainSchedule", "What a schedule means", "jobs"),
        answers={200: ("In words, and the next ten times", wire_jobs.Explanation)},
        parameters=(
            parameter(
                "schedule",
                "query",
                {"type": "string", "minLength": 1, "pattern": wire.TEXT_PATTERN},
                "Five fields of cron, @daily and the like, or a phrase",
                required=True,
            ),
            parameter(
                "timezone",
                "query",
                {"type": "string", "pattern": wire.TIME_ZONE_PATTERN, "default": "UTC"},
                "An IANA time zone",
            ),
        ),
        errors=(400,),
    ),
    Operation(
        *("get", ONE, "getJob", "Get one", "jobs"),
        answers={200: ("The job", wire_jobs.Job)},
        notes=_ETAG,
        parameters=(JOB_ID,),
        errors=(400, 404),
    ),
    Operation(
        *("patch", ONE, "changeJob", "Change a job; what is left out stays", "jobs"),
        answers={200: ("The job as it is now", wire_jobs.Job)},
        scope="jobs",
        notes=_ETAG,
        parameters=(JOB_ID, _IF_MATCH),
        body=wire_jobs.ChangeJob,
        body_required=False,
        errors=(*_CHANGES, 413, 415),
    ),
    Operation(
        *("delete", ONE, "deleteJob", "Delete a job; what it ran stays", "jobs"),
        answers={204: ("It is deleted", None)},
        scope="jobs",
        parameters=(JOB_ID, _IF_MATCH),
        errors=_CHANGES,
    ),
    Operation(
        *("post", ONE + "/pause", "pauseJob", "Let it be due no more", "jobs"),
        answers={200: ("It is paused", wire_jobs.Job)},
        scope="jobs",
        parameters=(JOB_ID, _IF_MATCH),
        body=executions.Nothing,
        body_required=False,
        errors=(*_CHANGES, 413, 415),
    ),
    Operation(
        *("post", ONE + "/resume", "resumeJob", "Let it be due again, from now on", "jobs"),
        answers={200: ("It is enabled", wire_jobs.Job)},
        scope="jobs",
        parameters=(JOB_ID, _IF_MATCH),
        body=executions.Nothing,
        body_required=False,
        errors=(*_CHANGES, 413, 415),
    ),
    Operation(
        *("post", ONE + "/run", "runJob", "Run it now, enabled or paused", "jobs"),
        answers={201: ("The new execution", wire.Execution)},
        scope="operate",
        parameters=(JOB_ID, IDEMPOTENCY),
        body=executions.Nothing,
        body_required=False,
        errors=(400, 403, 404, 409, 413, 415, 422),
    ),
    Operation(
        *("get", ONE + "/events", "jobEvents", "The audit trail, also of a deleted one", "jobs"),
        answers={200: ("Every event in order", wire_jobs.JobAuditTrail)},
        parameters=(JOB_ID,),
        errors=(400, 404),
    ),
)
