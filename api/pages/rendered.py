"""Templates, files that go with them, and the headers that every page carries."""

import gzip
import hashlib
import mimetypes
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from litestar import Request, Response, get
from litestar.exceptions import NotFoundException
from litestar.types import ASGIApp
from msgspec import Struct

from api import answers, parameters, problems
from api.answers import Answered
from api.pages import words
from api.pages.door import NotSignedIn, Visitor
from api.problems import Problem, problem_of

if TYPE_CHECKING:
    from jinja2 import Environment

Req = Request[Any, Any, Any]
_FOLDER: Final = Path(__file__).parent
_HTML: Final = "text/html; charset=utf-8"
HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    # Not less: without an origin a browser could not show that a form is our own.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_TITLES: Final = {
    400: "That address is not understood",
    403: "That is not allowed",
    404: "There is no such page",
    409: "That is not possible now",
    503: "The ledger does not answer at the moment",
}


class Asset(Struct, frozen=True):
    """A file of the package as it is sent; its version is in its address, so it may be kept."""

    content: bytes
    zipped: bytes
    media_type: str
    version: str


@cache
def assets() -> dict[str, Asset]:
    """Return the files that pages load, by name."""
    return {path.name: _asset(path) for path in sorted((_FOLDER / "static").iterdir())}


def _asset(path: Path) -> Asset:
    content = path.read_bytes()
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    version = hashlib.sha256(content).hexdigest()[:12]
    media_type = f"{kind}; charset=utf-8" if kind.startswith("text/") else kind
    return Asset(content, gzip.compress(content, 9, mtime=0), media_type, version)


@get("/static/{name:str}")
async def static_file(request: Req) -> ASGIApp:
    """Return a file that pages load; anyone may read these."""
    asset = assets().get(request.scope["path_params"]["name"])
    if asset is None:
        raise Problem(404, "resource_not_found", "There is no such file.")
    headers = {
        "Cache-Control": "public, max-age=31536000, immutable",
        "X-Content-Type-Options": "nosniff",
        "Vary": "Accept-Encoding",
    }
    if "gzip" in (parameters.header(request, "accept-encoding") or ""):
        headers["Content-Encoding"] = "gzip"
        return Answered(asset.zipped, 200, asset.media_type, headers)
    return Answered(asset.content, 200, asset.media_type, headers)


def _static(name: str) -> str:
    return f"/static/{name}?v={assets()[name].version}"


@cache
def _environment() -> "Environment":
    # Here, since a server answers before its templates are compiled: see `prepare`.
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # noqa: PLC0415

    environment = Environment(
        loader=FileSystemLoader(_FOLDER / "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
        undefined=StrictUndefined,
    )
    environment.globals.update(words=words, static=_static)
    return environment


def prepare() -> None:
    """Compile all templates, so that no first visitor waits for it, nor the start of a server."""
    for name in _environment().list_templates():
        _environment().get_template(name)
    assets()


def html(template: str, block: str | None = None, **context: Any) -> bytes:
    """Return a template, or one block of it, filled in."""
    found = _environment().get_template(template)
    if block is None:
        return found.render(context).encode()
    filled = found.new_context(context)
    return "".join(found.blocks[block](filled)).encode()


def page(
    template: str,
    seen_by: Visitor | None,
    *,
    block: str | None = None,
    here: str = "",
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    **context: Any,
) -> Answered:
    """Return a page, or one block of it, as an answer; `here` is its place in the navigation."""
    content = html(template, block, visitor=seen_by, here=here, **context)
    return Answered(content, status, _HTML, {**HEADERS, **(headers or {})})


def fragment(content: bytes, headers: Mapping[str, str] | None = None) -> Answered:
    """Return a part of a page that is made already."""
    return Answered(content, 200, _HTML, {**HEADERS, **(headers or {})})


def unchanged() -> Answered:
    """Return the answer that says that a part of a page need not be drawn anew."""
    return answers.empty(204, HEADERS)


def redirect(path: str, headers: Mapping[str, str] | None = None) -> Answered:
    """Send the browser to another page of ours, by GET."""
    return answers.empty(303, {**HEADERS, "Location": path, **(headers or {})})


def respond(request: Req, error: Exception) -> Response[bytes]:
    """Answer an error as a page (litestar's exception handler of the pages)."""
    answer = _of_problem(request, problem_of(error))
    answers.counts[answer.status] += 1
    return Response(
        answer.content,
        status_code=answer.status,
        media_type="text/html",  # litestar adds the charset to text
        headers=dict(answer.headers or {}),
    )


def respond_anywhere(request: Req, error: Exception) -> Response[bytes]:
    """Answer an error of any route: whoever mistypes the address of a page gets a page.

    The API answers everyone alike.
    """
    accepted = parameters.header(request, "accept") or ""
    is_of_api = request.scope["path"].startswith("/v1/")
    if isinstance(error, NotFoundException) and "text/html" in accepted and not is_of_api:
        return respond(request, error)
    return problems.respond(request, error)


def _of_problem(request: Req, problem: Problem) -> Answered:
    # What a script asked for is a part of a page: it cannot sign in by itself.
    is_part = parameters.header(request, "hx-request") is not None
    if isinstance(problem, NotSignedIn) and not is_part:
        return _to_sign_in(request, problem)
    return page(
        "problem.html",
        None,
        block="main" if is_part else None,
        status=problem.status,
        headers={**problem.headers, **({"HX-Reswap": "none"} if is_part else {})},
        title=_TITLES.get(problem.status, "Something went wrong"),
        problem=problem,
    )


def _to_sign_in(request: Req, problem: NotSignedIn) -> Answered:
    """Ask to sign in, and come back. A link on another site is followed anew from here.

    A browser that comes from another site does not send the cookie (SameSite=Strict); it does on
    the way from a page of ours.
    """
    wanted = request.scope["path"]
    if query := request.scope["query_string"].decode("ascii", "replace"):
        wanted += f"?{query}"
    wanted = quote(wanted, safe="/?&=%:+,~@!$'()*;-._")
    if (
        request.method in answers.READING
        and parameters.header(request, "sec-fetch-site") == "cross-site"
        and parameters.header(request, "sec-fetch-mode") == "navigate"
    ):
        return page("onward.html", None, address=wanted)
    if request.method not in answers.READING:
        return page(
            "problem.html", None, status=401, title="You are not signed in", problem=problem
        )
    ended = problem.code != "authentication_required"
    because = f"&because={problem.code}" if ended else ""
    return redirect(f"/sign-in?next={quote(wanted, safe='')}{because}")


HANDLERS: Final = (static_file,)
