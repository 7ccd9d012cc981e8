"""Takes the pictures of the pages that the documents show: `make screenshots`."""

import sys
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from tests.support import sample_data
from tests.support.calls import Api
from tests.support.embedded import REPOSITORY
from tests.support.pages import launch, sign_in
from tests.support.server import running_server

FOLDER = REPOSITORY / "docs" / "screenshots"
SIZE = {"width": 1180, "height": 760}
PHONE = {"width": 390, "height": 760}


def main(folder: Path) -> None:
    """Fill a ledger, and take each page in both schemes."""
    folder.mkdir(parents=True, exist_ok=True)
    with (
        running_server("--with-agent", settings={"CRONLEDGER_LEASE_SECONDS": "3600"}) as server,
        sync_playwright() as playwright,
    ):
        sample_data.fill(server.api)
        held = sample_data.begin_running(server.api)
        browser = launch(playwright)
        pages = {"history": "/", "night": "/night", "jobs": "/jobs", "agents": "/agents"}
        pages["execution"] = f"/executions/{held.id}"
        for scheme in ("light", "dark"):
            _take(browser, server.api, scheme, pages, folder)
        browser.close()


def _take(browser: Browser, api: Api, scheme: str, pages: dict[str, str], folder: Path) -> None:
    context = browser.new_context(base_url=api.url, color_scheme=scheme, viewport=SIZE)  # type: ignore[arg-type]  # two words
    page = context.new_page()
    sign_in(page, api.token or "")
    for name, path in pages.items():
        page.goto(path, wait_until="networkidle" if "executions" not in path else "load")
        page.screenshot(path=folder / f"{name}-{scheme}.png", animations="disabled")
    context.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
