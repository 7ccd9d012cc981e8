"""OPTIONS: which methods a path has.

litestar answers this by itself, but where a path has two handlers its answer names only the first.
"""

from collections.abc import Iterable
from typing import Any

from litestar import Request, route
from litestar.enums import HttpMethod
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp

from api import answers


def handlers(operations: Iterable[HTTPRouteHandler]) -> list[HTTPRouteHandler]:
    """Return a handler for each path of `operations`; they must be registered before those."""
    methods: dict[str, set[str]] = {}
    for operation in operations:
        for path in operation.paths:
            methods.setdefault(path, {"OPTIONS"}).update(operation.http_methods)
    return [_answering(path, ", ".join(sorted(names))) for path, names in methods.items()]


def _answering(path: str, allowed: str) -> HTTPRouteHandler:
    @route(path, http_method=HttpMethod.OPTIONS)
    async def options(_request: Request[Any, Any, Any]) -> ASGIApp:
        return answers.empty(headers={"Allow": allowed})

    return options
