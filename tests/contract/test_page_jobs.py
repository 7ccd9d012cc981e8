"""The page of jobs: what is defined, when it runs next, and the three things to do with it."""

import re
from datetime import UTC, datetime

import pytest

from api.pages import charts
from tests.support.calls import Api, eventually, fresh
from tests.support.pages import Browsing
from tests.support.server import ServerProcess
from tests.support.tokens import make_token

JOBS = "/v1/cron-jobs"


@pytest.fixture
def browsing(server: ServerProcess, api: Api) -> Browsing:
    """Somebody who is signed in, and may do everything."""
    found = Browsing(server.api)
    found.sign_in(api.token or "").ok(303)
    return found


def defined(api: Api, **fields: object) -> dict[str, str]:
    """Define a job; return it."""
    body = {"name": fresh("job"), "command": "true", "schedule": "0 3 * * *", "agent_id": "nobody"}
    return dict(api.request("POST", JOBS, payload=body | fields).ok(201).json())


def row(browsing: Browsing, job: dict[str, str]) -> str:
    """What the page shows of a job, as HTML."""
    pattern = re.compile(rf'<tr id="{job["id"]}">.*?</tr>', re.DOTALL)

    def look() -> list[str]:
        return pattern.findall(browsing.get(f"/jobs?q={job['name']}").ok().body.decode())

    (found,) = eventually(look, "the job on the page")
    return found


def test_a_defined_job_is_shown_before_it_ever_ran(browsing: Browsing, api: Api) -> None:
    """With its schedule, and when it is due next."""
    job = defined(api)
    shown = row(browsing, job)
    assert "0 3 * * * UTC" in shown
    assert "never" in shown
    due = datetime.fromisoformat(job["next_run_at"]).astimezone(UTC)
    assert due.strftime("%Y-%m-%d %H:%M UTC") in shown


def test_a_job_is_run_from_the_page(browsing: Browsing, api: Api) -> None:
    """After a question; one lands on the new execution, the same however often it is sent."""
    job = defined(api)
    page = f"/jobs/{job['id']}/run"
    fields = browsing.hidden(page)
    places = {browsing.send(page, fields).ok(303).headers["Location"] for _ in range(2)}
    made = places.pop()
    assert places == set()
    assert api.one(made.removeprefix("/executions/"))["job_id"] == job["id"]
    assert made in row(browsing, job)


def test_a_job_is_paused_and_resumed_from_the_page(browsing: Browsing, api: Api) -> None:
    """The page says so at once."""
    job = defined(api)
    for action, after, enabled in (("pause", "paused", False), ("resume", "Pause", True)):
        page = f"/jobs/{job['id']}/{action}"
        assert browsing.submit(page, page).ok(303).headers["Location"] == "/jobs"
        assert api.request("GET", f"{JOBS}/{job['id']}").ok().json()["is_enabled"] is enabled
        assert after in row(browsing, job)


@pytest.mark.parametrize(
    ("scopes", "allowed"),
    [(("read",), set()), (("read", "operate"), {"run"}), (("read", "jobs"), {"pause", "resume"})],
)
def test_each_thing_needs_its_scope(
    server: ServerProcess, api: Api, scopes: tuple[str, ...], allowed: set[str]
) -> None:
    """By hand too: 403 without it."""
    job = defined(api)
    someone = Browsing(server.api)
    someone.sign_in(make_token(server, *scopes)[1]).ok(303)
    token = someone.hidden("/jobs")["form_token"]
    for action in ("run", "pause", "resume"):
        page = f"/jobs/{job['id']}/{action}"
        expected = (200, 303) if action in allowed else (403, 403)
        got = someone.get(page).status, someone.send(page, {"form_token": token}).status
        assert got == expected, action


def test_a_job_that_is_not_defined_offers_nothing(browsing: Browsing, api: Api) -> None:
    """What only ran has no definition to run or pause: 404 by hand."""
    made = api.create()
    job = {"id": made["job_id"], "name": made["job_name"]}
    assert "/run" not in row(browsing, job)
    assert browsing.get(f"/jobs/{job['id']}/run").status == 404


def test_a_job_of_many_runs_tells_how_all_of_them_went(browsing: Browsing, api: Api) -> None:
    """By the counters, beside the last runs; of few the strip says it all."""
    many, few = defined(api), defined(api)
    for outcome in ("failed", *["success"] * charts.STRIP_RUNS):
        api.brought_to(outcome, job_name=many["name"])
    api.brought_to("success", job_name=few["name"])
    assert "96 % of 31<" in row(browsing, many)
    assert "half in" in row(browsing, many)
    assert "half in" not in row(browsing, few)
