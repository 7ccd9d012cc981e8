"""Pages of what is not there: a mistyped address, and output that was erased."""

import pytest

from tests.support.calls import Api
from tests.support.pages import Browsing
from tests.support.server import ServerProcess


@pytest.fixture
def browsing(server: ServerProcess, api: Api) -> Browsing:
    """Somebody who is signed in, and may do everything."""
    found = Browsing(server.api)
    found.sign_in(api.token or "").ok(303)
    return found


def test_a_mistyped_address_is_a_page_for_browsers_and_a_problem_for_programs(
    browsing: Browsing,
) -> None:
    """The page leads back; under /v1 everyone gets the same."""
    as_browser = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
    for path in ("/histroy", "/jobs/a/b/c"):
        answer = browsing.get(path, as_browser)
        assert (answer.status, answer.headers["Content-Type"]) == (404, "text/html; charset=utf-8")
        assert b'href="/"' in answer.body
        assert browsing.get(path).headers["Content-Type"] == "application/problem+json"
    of_api = browsing.get("/v1/cron-executionz", as_browser)
    assert (of_api.status, of_api.headers["Content-Type"]) == (404, "application/problem+json")


def test_erased_output_is_said_to_be_so_and_offers_no_download(
    browsing: Browsing, api: Api
) -> None:
    """Who erased it, and why, stands among what happened."""
    held = api.start()
    held.append(b"once", 0).ok()
    held.complete(outcome="exited", exit_code=0).ok()
    page = f"/executions/{held.id}"
    assert b"logs?stream=stdout" in browsing.get(page).ok().body
    api.post(f"/{held.id}/erase").ok()
    shown = browsing.get(page).ok().body.decode()
    assert "This output was erased. 4 bytes had been kept." in shown
    assert "Erased (requested): output" in shown
    assert "logs?stream=stdout" not in shown
