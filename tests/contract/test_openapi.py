"""The OpenAPI document is true: every route is in it, and schemathesis finds nothing."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest
from litestar import Litestar
from litestar.routes import HTTPRoute

from api import openapi
from api.app import HANDLERS
from tests.support.calls import Api, fresh
from tests.support.embedded import REPOSITORY
from tests.support.problems import check_problem
from tests.support.server import ServerProcess

ABOUT_THE_API: Final = {"/", "/docs", "/schema", "/schema/openapi.json"}
# Of some 3,000 cases all but a hundred are those of coverage; a few made up freely would double the
# time, since the tool needs seconds to learn how to make up a job.
PHASES: Final = "examples,coverage,stateful"
PHASES_IN_SOAK: Final = "examples,coverage,fuzzing,stateful"
EXAMPLES: Final = 5
EXAMPLES_IN_SOAK: Final = 300
SEED: Final = 20260131


def described() -> set[tuple[str, str]]:
    """Method and path of every operation in the document."""
    return {
        (method.upper(), path)
        for path, methods in openapi.described()["paths"].items()
        for method in methods
    }


def served() -> set[tuple[str, str]]:
    """Method and path of every route, but those that describe the API and those for OPTIONS."""
    app = Litestar(route_handlers=HANDLERS, openapi_config=None)
    return {
        (method, re.sub(r"\{(\w+):str\}", r"{\1}", route.path))
        for route in app.routes
        if isinstance(route, HTTPRoute) and route.path not in ABOUT_THE_API
        for method in route.methods
        if method not in {"OPTIONS", "HEAD"}
    }


@pytest.mark.filterwarnings("ignore:.*deprecated inferred style")
def test_every_route_is_described_and_every_description_has_a_route() -> None:
    """The document and the router name the same operations."""
    assert described() == served()


def test_the_served_document_is_the_document(api: Api) -> None:
    """/schema and /schema/openapi.json answer it, as JSON."""
    for path in ("/schema", "/schema/openapi.json"):
        answer = api.with_token(None).request("GET", path).ok()
        assert answer.headers["Content-Type"] == "application/json"
        assert answer.body == openapi.document()
        assert answer.json()["paths"].keys() == openapi.described()["paths"].keys()


def test_every_described_operation_but_health_needs_a_token(api: Api) -> None:
    """401 without one, whatever else is wrong; the document says so, and says it of health."""
    open_ones = set()
    for method, path in sorted(described()):
        told = openapi.described()["paths"][path][method.lower()]
        answer = api.with_token(None).request(method, path.replace("{execution_id}", "x"))
        if told.get("security") == []:
            open_ones.add(path)
            assert answer.status == 200
        else:
            check_problem(answer, 401)
            assert "401" in told["responses"]
    assert open_ones == {"/health/live", "/health/ready"}


def test_the_docs_are_one_page_without_any_other_host(api: Api) -> None:
    """No script, no external address, nothing to load: it reads the same offline."""
    answer = api.with_token(None).request("GET", "/docs").ok()
    page = answer.body.decode()
    assert answer.headers["Content-Type"].startswith("text/html")
    addresses = re.findall(r"(?:https?:)?//[\w.-]+", page)
    assert {address for address in addresses if "127.0.0.1" not in address} == set()
    assert not re.findall(r"<(script|link|img|iframe|object)\b|@import|url\(|\bsrc=", page)
    for link in re.findall(r'href="([^"]+)"', page):
        assert link.startswith(("#", "/schema"))
        if link.startswith("#"):
            assert f'id="{link[1:]}"' in page
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    for _, path in described():
        assert path in page


def test_the_first_screen_says_where_a_type_is_wider(api: Api) -> None:
    """`started_at` may be null, which the published table does not say: page and document do."""
    page = api.request("GET", "/docs").body.decode()
    assert "started_at" in page.partition("<section")[0]
    assert "started_at" in openapi.described()["info"]["description"]


def run_schemathesis(
    server: ServerProcess, folder: Path, *, phases: str, examples: int
) -> "subprocess.CompletedProcess[str]":
    """Run all checks, links included, with a stated number of examples and a seed."""
    assert not server.home.joinpath("schemathesis").exists()
    return subprocess.run(
        [
            *(sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()"),
            *("--no-color", "run", f"{server.url}/schema/openapi.json"),
            *("--header", f"Authorization: Bearer {server.admin_token}"),
            *("--checks", "all", "--phases", phases),
            *("--max-examples", str(examples), "--seed", str(SEED), "--generation-deterministic"),
        ],
        capture_output=True,
        text=True,
        cwd=folder,
        env=os.environ
        | {
            "SCHEMATHESIS_HOOKS": "tests.contract.schemathesis_hooks",
            "PYTHONPATH": str(REPOSITORY),
        },
        timeout=1500,
        check=False,
    )


def check_nothing_was_found(
    server: ServerProcess, folder: Path, *, phases: str, examples: int
) -> None:
    """Schemathesis ends with 0, has tested every operation, and the server has said nothing."""
    done = run_schemathesis(server, folder, phases=phases, examples=examples)
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2000:]
    operations = len(described())
    assert f"Tested: {operations}" in done.stdout
    assert "Traceback" not in server.stderr
    while server.api.claim(fresh("agent")) is not None:
        pass  # what it created for anyone is not for the tests that follow


@pytest.mark.timeout(300)
def test_schemathesis_finds_nothing(server: ServerProcess, tmp_path: Path) -> None:
    """Each value at its bounds and beyond, all checks; the hooks tell what JSON cannot say."""
    check_nothing_was_found(server, tmp_path, phases=PHASES, examples=EXAMPLES)


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_schemathesis_finds_nothing_for_long(server: ServerProcess, tmp_path: Path) -> None:
    """The same, and 300 examples an operation that are made up freely."""
    check_nothing_was_found(server, tmp_path, phases=PHASES_IN_SOAK, examples=EXAMPLES_IN_SOAK)


def test_answers_in_every_status_are_as_described(api: Api) -> None:
    """What the routes answer fits the schema that the document gives for it, in every status."""
    import jsonschema_rs  # noqa: PLC0415 - comes with schemathesis

    document = openapi.described()

    def check(body: Any, name: str) -> None:
        schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
        jsonschema_rs.validator_for(schema, validate_formats=True).validate(body)

    for status in ("pending", "running", "success", "failed", "timeout", "canceled"):
        made = api.brought_to(status)
        check(made, "ExecutionDetail")
        check(api.get("", {"job_id": made["job_id"]}).ok().json(), "ExecutionList")
        check(api.get(f"/{made['id']}/events").ok().json(), "AuditTrail")
    agent = fresh("agent")
    api.create(pinned_agent_id=agent, environment={"A": "b"})
    check(api.post("/claim", {"agent_id": agent}).ok().json(), "Claimed")
    check(json.loads(api.get("/x").body), "ProblemDocument")
