"""The operations for those who watch the server."""

from typing import Final

from api import wire
from api.described.operation import Operation

OPERATIONS: Final = (
    Operation(
        *("get", "/health/live", "live", "Does the process answer?", "operations"),
        answers={200: ("Yes", wire.Health)},
        scope=None,
    ),
    Operation(
        *("get", "/health/ready", "ready", "Can it record and read?", "operations"),
        answers={200: ("Yes", wire.Health), 503: ("No", wire.Health)},
        scope=None,
    ),
    Operation(
        *("get", "/metrics", "metrics", "Figures for Prometheus", "operations"),
        answers={200: ("Text format 0.0.4", "text/plain")},
    ),
)
