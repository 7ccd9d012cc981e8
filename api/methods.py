"""The methods that every path has beside its own: OPTIONS, and HEAD where there is GET.

litestar answers OPTIONS by itself, but where a path has two handlers its answer names only the
first; and it has no HEAD. A HEAD is carried out as the GET, and the answer leaves its body out
(RFC 9110, 9.3.2).
"""

from collections.abc import Iterable
from typing import Any

from litestar import Request, route
from litestar.enums import HttpMethod
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp

from api import answers


def handlers(operations: Iterable[HTTPRouteHandler]) -> list[HTTPRouteHandler]:
    """Return the handlers to be registered before `operations`."""
    methods: dict[str, set[str]] = {}
    heads = []
    for operation in operations:
        methods_here = set(operation.http_methods)
        if HttpMethod.GET in methods_here:
            methods_here.add(HttpMethod.HEAD)
            heads.append(_head(operation))
        for path in operation.paths:
            methods.setdefault(path, {"OPTIONS"}).update(methods_here)
    options = [_options(path, ", ".join(sorted(names))) for path, names in methods.items()]
    return options + heads


def _head(operation: HTTPRouteHandler) -> HTTPRouteHandler:
    """Return the handler of the same paths that does the same for HEAD."""
    decorate = route(
        sorted(operation.paths),
        http_method=HttpMethod.HEAD,
        exception_handlers=operation.exception_handlers,
    )
    return decorate(operation.fn)


def _options(path: str, allowed: str) -> HTTPRouteHandler:
    @route(path, http_method=HttpMethod.OPTIONS)
    async def options(_request: Request[Any, Any, Any]) -> ASGIApp:
        return answers.empty(headers={"Allow": allowed})

    return options
