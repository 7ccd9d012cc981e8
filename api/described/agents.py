"""The operations of agents: claim, report, and who they are."""

from typing import Final

from api import wire
from api.described.operation import BYTES, ID, KEY_SCHEMA, ONE, STREAM, Operation, links, parameter
from api.routes.executions import PATH

_LEASE: Final = parameter(
    "Lease-Token",
    "header",
    {"type": "string", "pattern": "^[!-~]+$"},
    "The token that the claim answered",
    required=True,
)
_OF_COMPLETED: Final = ("getExecution", "retryExecution", "readLogs")
_OF_CLAIMED: Final = ("heartbeatExecution", "appendLogs", "completeExecution")

OPERATIONS: Final = (
    Operation(
        *("post", PATH + "/claim", "claimExecution", "Take the oldest pending one", "agents"),
        answers={200: ("An execution and its lease", wire.Claimed), 204: ("There is none", None)},
        scope="agent",
        parameters=(
            parameter(
                "Claim-Id",
                "header",
                KEY_SCHEMA,
                "The same id gives the same lease again, while it lasts",
            ),
        ),
        body=wire.Claim,
        errors=(400, 403, 409, 413, 415, 422),
        links={200: links(_OF_CLAIMED, "/execution/id", leased=True)},
    ),
    Operation(
        *("post", ONE + "/heartbeat", "heartbeatExecution", "Renew the lease", "agents"),
        answers={200: ("It is renewed", wire.HeartbeatAnswer)},
        scope="agent",
        parameters=(ID, _LEASE),
        body=wire.Heartbeat,
        body_required=False,
        errors=(400, 403, 404, 409, 413, 415),
    ),
    Operation(
        *("post", ONE + "/logs", "appendLogs", "Append output at a byte offset", "agents"),
        answers={200: ("The bytes are durable", wire.LogsAnswer)},
        scope="agent",
        parameters=(
            *(ID, _LEASE),
            parameter("stream", "query", STREAM, "Which one", required=True),
            parameter(
                "offset",
                "query",
                {"type": "integer", "minimum": 0, "maximum": 1 << 53},
                "Where the bytes stand in the original output",
                required=True,
            ),
            parameter(
                "skip_to",
                "query",
                {"type": "integer", "minimum": 0, "maximum": 1 << 53},
                "Bytes from offset up to here are left out; the body stands here",
            ),
        ),
        body=BYTES,
        body_required=False,
        errors=(400, 403, 404, 409, 413),
    ),
    Operation(
        *("post", ONE + "/complete", "completeExecution", "Record how it ended", "agents"),
        answers={200: ("It is recorded", wire.Execution)},
        scope="agent",
        parameters=(ID, _LEASE),
        body=wire.Complete,
        errors=(400, 403, 404, 409, 413, 415),
        links={200: links(_OF_COMPLETED, "/id")},
    ),
    Operation(
        *("get", "/v1/agents", "listAgents", "List agents, and what they run", "agents"),
        answers={200: ("Those that were seen last", wire.AgentList)},
        errors=(400,),
    ),
)
