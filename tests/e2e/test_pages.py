"""The pages in a real browser: live, by keyboard, for everyone, and true when things break."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, ViewportSize, expect, sync_playwright

from tests.e2e.conftest import QUICK
from tests.support import invariants
from tests.support.agents import AgentProcess, begin, running_agent
from tests.support.calls import SECONDS, Api, eventually, fresh
from tests.support.pages import chromium, launch, sign_in
from tests.support.server import ServerProcess, running_server
from tests.support.tokens import make_token, owner_conninfo, revoke_token

pytestmark = pytest.mark.skipif(
    chromium() is None, reason="no Chromium here: the pages are not tried in a browser"
)

DESK: ViewportSize = {"width": 1180, "height": 800}
PHONE: ViewportSize = {"width": 390, "height": 800}


@pytest.fixture(scope="module")
def served() -> Iterator[ServerProcess]:
    """A server of its own, since it is stopped and started again."""
    with running_server("--sign-in-link", settings=QUICK) as started:
        yield started
        invariants.check(owner_conninfo(started))
        assert "Traceback" not in started.stderr


@pytest.fixture(scope="module")
def worker(served: ServerProcess) -> Iterator[AgentProcess]:
    """An agent of that server."""
    with running_agent(served) as started:
        yield started


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser for all."""
    expect.set_options(timeout=SECONDS * 1000)
    with sync_playwright() as playwright:
        started = launch(playwright)
        yield started
        started.close()


@pytest.fixture(scope="module")
def visitor(browser: Browser, served: ServerProcess) -> Iterator[Page]:
    """A page of somebody who is signed in; no error of a script or the policy goes unseen."""
    context = browser.new_context(base_url=served.url)
    context.set_default_timeout(SECONDS * 1000)
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda said: errors.append(said.text) if "Policy" in said.text else None)
    sign_in(page, served.admin_token)
    yield page
    context.close()
    assert errors == []


@pytest.fixture
def page(visitor: Page) -> Page:
    """That page, with room."""
    visitor.set_viewport_size(DESK)
    visitor.mouse.move(1, 1)  # over a row it would say that somebody reads
    return visitor


@pytest.fixture(scope="module")
def api(served: ServerProcess) -> Api:
    """The API of that server, for what is there to be looked at."""
    return served.api


def row(execution: str) -> str:
    """The selector of a row of the history."""
    return f"tr#{execution}"


def test_the_link_of_the_start_signs_in(browser: Browser, served: ServerProcess) -> None:
    """What `make run` prints leads to the history, without a token to copy."""
    said = r"open (http://\S+/sign-in\?key=\S+) in a browser"
    found = eventually(lambda: re.findall(said, served.stderr), "the link")
    context = browser.new_context()
    page = context.new_page()
    page.goto(found[0])
    page.wait_for_url(served.url + "/")
    expect(page.get_by_role("button", name="Sign out")).to_be_visible()
    context.close()


def test_filters_stand_in_the_address_and_the_same_address_shows_the_same(
    page: Page, api: Api
) -> None:
    """Typing and choosing narrow the list at once; a new load of that address shows it too."""
    name = fresh("filtered")
    failed = api.brought_to("failed", job_name=name)["id"]
    good = api.brought_to("success", job_name=name)["id"]
    page.goto("/")
    page.keyboard.press("/")
    page.keyboard.type(name)
    expect(page.locator("#rows tr[id]")).to_have_count(2)
    page.get_by_role("checkbox", name="failed").check()
    expect(page.locator(row(good))).to_have_count(0)
    expect(page.locator(row(failed))).to_be_visible()
    page.wait_for_url(f"**/?status=failed&q={name}")
    page.reload()
    expect(page.locator("#rows tr[id]")).to_have_count(1)
    page.get_by_role("link", name="Clear").click()
    expect(page.locator(row(good))).to_be_visible()


def test_new_rows_and_new_statuses_appear_by_themselves(page: Page, api: Api) -> None:
    """At the top the new row comes in; a row that ends changes where it stands."""
    held = api.start(job_name=fresh("live"))
    page.goto("/")
    expect(page.locator(row(held.id))).to_contain_text("running")
    held.complete(outcome="exited", exit_code=3).ok()
    new = api.create()["id"]
    expect(page.locator(row(held.id))).to_contain_text("failed")
    expect(page.locator(row(new))).to_contain_text("pending")


def test_nothing_moves_under_who_reads(page: Page, api: Api) -> None:
    """While a row is chosen, new ones wait behind a button."""
    api.create()
    page.goto("/")
    page.keyboard.press("j")
    before = page.locator("tr.picked").bounding_box()
    new = api.create()["id"]
    page.get_by_role("button", name="1 new").wait_for()
    assert page.locator("tr.picked").bounding_box() == before
    page.get_by_role("button", name="1 new").click()
    expect(page.locator(row(new))).to_be_visible()


def test_the_history_goes_on_as_one_scrolls(page: Page, api: Api) -> None:
    """The next page is added when its place is reached."""
    name = fresh("endless")
    for _ in range(55):
        api.create(job_name=name)
    page.goto(f"/?q={name}")
    expect(page.locator("#rows tr[id]")).to_have_count(50)
    page.locator("tr.more").scroll_into_view_if_needed()
    expect(page.locator("#rows tr[id]")).to_have_count(55)


def test_a_running_command_is_followed_live_and_canceled(
    page: Page, api: Api, worker: AgentProcess
) -> None:
    """Its output comes in colours as it is written; a question before the cancel; then the end."""
    script = r"printf '\033[31mone\033[0m <b>two</b>\n'; sleep 300"
    running = begin(api, worker.agent_id, script)
    page.goto(f"/executions/{running}")
    expect(page.locator("#log-stdout")).to_contain_text("one <b>two</b>")
    expect(page.locator("#log-stdout .f1")).to_have_text("one")
    expect(page.locator("#state")).to_contain_text("running")
    page.get_by_role("link", name="Cancel").click()
    page.get_by_role("button", name="Cancel the execution").click()
    expect(page.locator("#state .head")).to_contain_text("canceled")
    expect(page.locator("#trail")).to_contain_text("Somebody asked to cancel it")
    assert api.one(running)["status"] == "canceled"


def test_output_follows_to_the_end(
    page: Page, api: Api, worker: AgentProcess, tmp_path: Path
) -> None:
    """What is written while one looks is added, the end is said, and the rest is up to date."""
    gate = tmp_path / "gate"
    script = f"echo first; until [ -e {gate} ]; do sleep 0.05; done; echo last; exit 4"
    running = begin(api, worker.agent_id, script)
    page.goto(f"/executions/{running}")
    expect(page.locator("#log-stdout")).to_contain_text("first")
    gate.touch()
    expect(page.locator("#log-stdout")).to_contain_text("last")
    expect(page.locator("#state")).to_contain_text("Failed: exit code 4")


def test_a_failed_one_is_retried_by_keyboard_and_one_lands_on_the_new_one(
    page: Page, api: Api, worker: AgentProcess
) -> None:
    """`j`, Enter, `r`: the question; Enter: the new execution, which says what it is a retry of."""
    name = fresh("retried")
    failed = begin(api, worker.agent_id, "exit 3", job_name=name)
    api.until_ended(failed)
    page.goto(f"/?q={name}")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/executions/{failed}")
    page.keyboard.press("r")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Enter")
    page.wait_for_url(lambda url: "/executions/" in url and failed not in url)
    expect(page.locator("#state")).to_contain_text("a retry of the one before")
    new = api.one(failed)["retried_as"]
    assert page.url.endswith(new)


def test_the_retry_works_without_script(browser: Browser, served: ServerProcess) -> None:
    """Where no script runs, the question is a page of its own."""
    failed = served.api.brought_to("failed")["id"]
    context = browser.new_context(base_url=served.url, java_script_enabled=False)
    page = context.new_page()
    sign_in(page, served.admin_token)
    page.goto(f"/executions/{failed}")
    page.get_by_role("link", name="Retry").click()
    page.get_by_role("button", name="Retry").click()
    assert page.url.endswith(served.api.one(failed)["retried_as"])
    context.close()


def test_a_form_on_another_site_changes_nothing(page: Page, api: Api) -> None:
    """Sent by a browser from elsewhere it meets a page that says so, or asks to sign in."""
    made = api.create()["id"]
    target = f"{api.url}/executions/{made}/cancel"
    page.route(
        "http://evil.example/",
        lambda route: route.fulfill(
            content_type="text/html",
            body=f'<form method="post" action="{target}"><button>Go</button></form>',
        ),
    )
    page.goto("http://evil.example/")
    page.get_by_role("button", name="Go").click()
    page.wait_for_url(target)
    assert api.one(made)["status"] == "pending"


def test_much_output_does_not_stop_the_browser(page: Page, api: Api) -> None:
    """Of 100,000 lines the last are shown, with what is not, and a way to all of them."""
    held = api.start()
    data = b"".join(b"line %d of many\n" % number for number in range(100_000))
    for at in range(0, len(data), 1 << 20):
        held.append(data[at : at + (1 << 20)], at).ok()
    held.complete(outcome="exited", exit_code=0).ok()
    page.goto(f"/executions/{held.id}")
    expect(page.locator("#log-stdout")).to_contain_text("line 99999 of many")
    expect(page.locator("#logs")).to_contain_text("are not shown here")
    with page.expect_download() as downloading:
        page.get_by_role("link", name="Download").first.click()
    assert downloading.value.path().read_bytes() == data


def test_the_page_says_that_the_server_is_away_and_recovers(
    page: Page, served: ServerProcess
) -> None:
    """While it is away the page stays; when it is back, what happened appears."""
    page.goto("/")
    port = int(served.url.rpartition(":")[2])
    served.stop()
    expect(page.locator("#away")).to_contain_text("cannot be reached")
    served.start(port=port)
    expect(page.locator("#away")).to_have_text("")
    new = served.api.create()["id"]
    expect(page.locator(row(new))).to_be_visible()


def test_a_revoked_token_is_said_on_the_open_page(browser: Browser, served: ServerProcess) -> None:
    """The page stays and asks to sign in again, and knows the way back."""
    token_id, secret = make_token(served, "read")
    context = browser.new_context(base_url=served.url)
    page = context.new_page()
    sign_in(page, secret)
    page.goto("/?status=failed")
    revoke_token(served, token_id)
    page.get_by_role("link", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("revoked")
    assert "status%3Dfailed" in page.url
    context.close()


def test_everyone_can_use_every_page(page: Page, api: Api) -> None:
    """Axe finds nothing serious, in neither scheme; at a phone's width nothing sticks out."""
    name = fresh("seen")
    held = api.start(job_name=name, expected_schedule="@hourly")
    held.append(b"\x1b[31mred\x1b[0m \x1b[44;93mtwo colours\x1b[0m\n").ok()
    failed = api.brought_to("failed", job_name=name)["id"]
    paths = [f"/?q={name}", "/?q=nobody", "/night?hours=1", f"/jobs?q={name}", "/agents"]
    paths += [f"/executions/{held.id}", f"/executions/{failed}", f"/executions/{failed}/retry"]
    found = []
    for path in (*paths, "/sign-in", "/executions/none"):
        page.emulate_media(color_scheme="light")
        page.set_viewport_size(DESK)
        page.goto(path)
        found += serious(page, path)
        # What the schemes differ in is only colour.
        page.emulate_media(color_scheme="dark")
        found += serious(page, f"{path} in the dark", runOnly=["color-contrast"])
        page.set_viewport_size(PHONE)
        width = page.evaluate("document.documentElement.scrollWidth")
        if width > PHONE["width"]:
            found.append((path, "sticks out", [str(width)]))
    assert found == []


def serious(page: Page, where: str, **options: list[str]) -> list[tuple[str, str, list[str]]]:
    """What axe holds for serious on a page: where, which rule, and some of the elements."""
    results = Axe().run(page, options={"resultTypes": ["violations"], **options})
    return [
        (where, one["id"], [node["html"][:120] for node in one["nodes"][:3]])
        for one in results.response["violations"]
        if one["impact"] in {"serious", "critical"}
    ]
