"""What every error answer must look like, whoever asks for it."""

from typing import Any

from tests.support.calls import Reply

TITLES = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    409: "Conflict",
    410: "Gone",
    412: "Precondition Failed",
    413: {"Request Entity Too Large", "Content Too Large"},  # Python 3.13 knows the newer name
    415: "Unsupported Media Type",
    416: {"Requested Range Not Satisfiable", "Range Not Satisfiable"},
    422: {"Unprocessable Entity", "Unprocessable Content"},
    503: "Service Unavailable",
}
CODES = {
    400: "validation_error",
    401: "authentication_required",
    403: "forbidden",
    404: "resource_not_found",
    405: "method_not_allowed",
    409: "conflict",
    410: "erased",
    412: "precondition_failed",
    413: "payload_too_large",
    415: "unsupported_media_type",
    416: "validation_error",
    422: "idempotency_mismatch",
    503: "unavailable",
}


def check_problem(
    answer: Reply, status: int, *, field: str | None = None, code: str | None = None
) -> dict[str, Any]:
    """The answer is a problem document as the contract describes it; return it."""
    assert answer.status == status, answer.body
    assert answer.headers["Content-Type"].partition(";")[0] == "application/problem+json"
    problem = answer.json()
    assert set(problem) - {"expected_offset"} == {"type", "title", "status", "detail", "error"}
    title = TITLES[status]
    assert problem["title"] == title or problem["title"] in title
    assert problem["status"] == status
    error = problem["error"]
    assert set(error) == {"code", "message", "details"}
    assert error["code"] == (code or CODES[status])
    assert error["message"] == problem["detail"]
    assert "Traceback" not in problem["detail"]
    if field is not None:
        assert field in problem["detail"]
        assert field in [detail["field"] for detail in error["details"]]
        assert all(detail["message"] for detail in error["details"])
    return dict(problem)
