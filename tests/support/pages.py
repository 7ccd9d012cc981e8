"""The pages as a browser sees them, and as a client without script does."""

import os
import re
import shutil
from collections.abc import Mapping
from urllib.parse import urlencode

from playwright.sync_api import Browser, Page, Playwright

from tests.support.calls import Api, Reply

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def chromium() -> str | None:
    """Where the system's Chromium is; playwright's own is not asked for."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


def launch(playwright: Playwright) -> Browser:
    """Start the browser."""
    options = ["--no-sandbox", "--disable-dev-shm-usage"] if os.geteuid() == 0 else []
    return playwright.chromium.launch(executable_path=chromium(), args=options)


def sign_in(page: Page, token: str) -> None:
    """Sign in with a token, by the form."""
    page.goto("/sign-in")
    page.get_by_label("Access token").fill(token)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/")


class Browsing:
    """A client of the pages that keeps its cookie, and follows nothing by itself."""

    def __init__(self, api: Api, cookie: str = "") -> None:
        self.api = api.with_token(None)
        self.cookie = cookie

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> Reply:
        """Look at a page."""
        return self.api.request("GET", path, headers={**self._cookie(), **(headers or {})})

    def send(
        self, path: str, fields: Mapping[str, str], headers: Mapping[str, str] | None = None
    ) -> Reply:
        """Send a form as it is."""
        body = urlencode(fields).encode()
        sent = {**FORM, **self._cookie(), **(headers or {})}
        return self.api.request("POST", path, body=body, headers=sent)

    def submit(self, page: str, path: str, **fields: str) -> Reply:
        """Send a form with the hidden fields that stand in a page."""
        return self.send(path, {**self.hidden(page), **fields})

    def hidden(self, page: str) -> dict[str, str]:
        """The hidden fields of the forms of a page."""
        text = self.get(page).ok().body.decode()
        return dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', text))

    def sign_in(self, token: str, onward: str = "/") -> Reply:
        """Sign in, and keep the cookie."""
        answer = self.send("/sign-in", {"token": token, "next": onward})
        if answer.status == 303:
            self.cookie = answer.headers["Set-Cookie"].partition(";")[0]
        return answer

    def _cookie(self) -> dict[str, str]:
        return {"Cookie": self.cookie} if self.cookie else {}
