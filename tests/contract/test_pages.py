"""The pages over HTTP: who comes in, what they may do, and that what jobs print stays text."""

import gzip
import re
from datetime import timedelta
from urllib.parse import quote

import psycopg
import pytest

from api.pages import sign_in as door_of_links
from tests.support.calls import PATH, Api, eventually, fresh
from tests.support.pages import FORM, Browsing
from tests.support.server import ServerProcess
from tests.support.tokens import make_token, owner_conninfo, revoke_token

NASTY = '<script>alert("x")</script>&amp;\'"'
POLICY = {
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self'",
    "connect-src 'self'",
    "form-action 'self'",
    "frame-ancestors 'none'",
    "base-uri 'none'",
}
FIRST_PAGE_BYTES_MAX = 60_000


@pytest.fixture(scope="session")
def browsing(server: ServerProcess, api: Api) -> Browsing:
    """Somebody who is signed in, and may do everything."""
    found = Browsing(server.api)
    found.sign_in(api.token or "").ok(303)
    return found


@pytest.fixture(scope="session")
def reader(server: ServerProcess) -> Browsing:
    """Somebody who is signed in, and may only look."""
    found = Browsing(server.api)
    found.sign_in(make_token(server, "read")[1]).ok(303)
    return found


# ------------------------------------------------------------------------------------ coming in


def test_signing_in_gives_a_cookie_that_scripts_and_other_sites_cannot_use(
    server: ServerProcess, api: Api
) -> None:
    """HttpOnly, SameSite=Strict, with an end; it does not hold the token."""
    answer = Browsing(server.api).sign_in(api.token or "", "/jobs?q=a").ok(303)
    cookie = answer.headers["Set-Cookie"]
    assert answer.headers["Location"] == "/jobs?q=a"
    assert {"Path=/", "HttpOnly", "SameSite=Strict"} < set(cookie.split("; "))
    assert 0 < int(re.findall(r"Max-Age=(\d+)", cookie)[0]) <= 24 * 3600
    assert (api.token or "").removeprefix("clk_") not in cookie


def test_a_wrong_token_is_told_so_and_gives_no_cookie(server: ServerProcess) -> None:
    """The form again, with a sentence."""
    answer = Browsing(server.api).sign_in("clk_" + "x" * 43)
    assert (answer.status, answer.headers["Set-Cookie"]) == (401, None)
    assert b"is not known here" in answer.body


def test_a_token_that_may_not_read_does_not_sign_in(server: ServerProcess) -> None:
    """403: there would be nothing to see."""
    answer = Browsing(server.api).sign_in(make_token(server, "agent", agent_id="a")[1])
    assert (answer.status, answer.headers["Set-Cookie"]) == (403, None)


@pytest.mark.parametrize(
    "onward",
    [
        *("//evil.example/", "https://evil.example/", "/\\evil.example", "\\\\evil.example"),
        *("javascript:alert(1)", "/\t/evil.example", "/\n/evil.example", "evil", "", "/sign-out"),
    ],
)
def test_signing_in_never_leads_elsewhere(server: ServerProcess, api: Api, onward: str) -> None:
    """What is no page of this server becomes the first page."""
    answer = Browsing(server.api).sign_in(api.token or "", onward).ok(303)
    assert answer.headers["Location"] == "/"
    shown = Browsing(server.api).get(f"/sign-in?next={quote(onward)}").body.decode()
    assert 'name="next" value="/"' in shown


@pytest.mark.parametrize("page", ["/", "/?status=failed&q=a%20b", "/night", "/jobs", "/agents"])
def test_whoever_is_not_signed_in_is_asked_to_and_comes_back(
    server: ServerProcess, page: str
) -> None:
    """A redirect to the form, which knows the way back; a part of a page is a 401."""
    nobody = Browsing(server.api)
    answer = nobody.get(page).ok(303)
    assert answer.headers["Location"] == f"/sign-in?next={quote(page, safe='')}"
    assert nobody.get(page, {"HX-Request": "true"}).status == 401


def test_a_link_on_another_site_does_not_ask_who_is_signed_in_to_do_it_again(
    server: ServerProcess,
) -> None:
    """The browser sends no cookie from there: a page of ours goes on to the same address."""
    cross = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    answer = Browsing(server.api).get("/executions/exec_1?x=%22%3E", cross).ok()
    assert b'content="0; url=/executions/exec_1?x=%22%3E"' in answer.body


def test_signing_out_ends_the_session_everywhere(server: ServerProcess, api: Api) -> None:
    """The cookie goes, and whoever kept it is asked to sign in."""
    subject = Browsing(server.api)
    subject.sign_in(api.token or "")
    subject.get("/").ok()
    answer = subject.submit("/", "/sign-out").ok(303)
    assert "Max-Age=0" in answer.headers["Set-Cookie"]
    assert "because=invalid_token" in subject.get("/").ok(303).headers["Location"]
    assert subject.api.request("GET", PATH, headers={"Cookie": subject.cookie}).status == 401


def test_a_revoked_token_ends_its_sessions_soon(server: ServerProcess) -> None:
    """The page says why, and asks to sign in."""
    token_id, secret = make_token(server, "read")
    subject = Browsing(server.api)
    subject.sign_in(secret)
    subject.get("/").ok()
    revoke_token(server, token_id)
    eventually(lambda: subject.get("/").status == 303, "the end of the session", 10)  # else in 30 s
    asked = subject.get(subject.get("/").headers["Location"]).ok()
    assert b"revoked" in asked.body


def test_a_session_lasts_no_longer_than_its_token(server: ServerProcess) -> None:
    """A token that has expired meanwhile opens nothing."""
    token_id, secret = make_token(server, "read", expires_in=timedelta(hours=1))
    subject = Browsing(server.api)
    subject.sign_in(secret)
    with psycopg.connect(owner_conninfo(server), autocommit=True) as connection:
        connection.execute(
            "UPDATE store.tokens SET expires_at = now() - interval '1 s' WHERE id = %s", [token_id]
        )
        connection.execute("SELECT pg_notify('cronledger_tokens', '')")
    eventually(lambda: subject.get("/").status == 303, "the end of the session")
    assert "because=token_expired" in subject.get("/").headers["Location"]


def test_a_one_time_link_signs_in_once_and_only_when_it_is_sent(
    server: ServerProcess, api: Api
) -> None:
    """To look at it uses up nothing; to send it does; the second time it is told so."""
    path = door_of_links.link(owner_conninfo(server), api.token or "")
    assert path is not None
    for _ in range(2):
        fields = Browsing(server.api).hidden(path)
    first = Browsing(server.api).send("/sign-in", fields).ok(303)
    cookie = first.headers["Set-Cookie"].partition(";")[0]
    Browsing(server.api, cookie).get("/").ok()
    second = Browsing(server.api).send("/sign-in", fields)
    assert (second.status, second.headers["Set-Cookie"]) == (401, None)
    assert fields["key"] not in server.stderr
    assert door_of_links.link(owner_conninfo(server), "clk_unknown") is None


# ---------------------------------------------------------------------------------- every page


def pages(api: Api) -> dict[str, str]:
    """One address of each kind of page."""
    name = f"{NASTY} {fresh('n')}"
    failed = api.brought_to("failed", job_name=name)["id"]
    running = api.start().id
    return {
        "/sign-in": "/sign-in",
        "/": "/",
        "/night": "/night",
        "/jobs": f"/jobs?q={quote(name)}",
        "/agents": "/agents",
        "execution": f"/executions/{failed}",
        "running": f"/executions/{running}",
        "question": f"/executions/{failed}/retry",
        "none": "/executions/nothing",
        "bad": "/?status=odd",
    }


def test_every_page_forbids_what_it_does_not_need(browsing: Browsing, api: Api) -> None:
    """A strict policy, and nothing in the page that would need a laxer one, nor another host."""
    for name, path in pages(api).items():
        answer = browsing.get(path)
        assert answer.status == {"none": 404, "bad": 400}.get(name, 200), name
        assert set(answer.headers["Content-Security-Policy"].split("; ")) == POLICY
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "same-origin"
        assert answer.headers["Cache-Control"] == "no-store"
        text = answer.body.decode()
        assert not re.findall(
            r"<style|\sstyle=|\son\w+=|javascript:|<script(?! defer src=\"/)", text
        )
        assert not re.findall(r"(?:src|href|action)=\"(?!/|#)", text), name


def test_names_of_jobs_are_text(browsing: Browsing, api: Api) -> None:
    """A job that is called like a script is shown like one, wherever its name stands."""
    found = pages(api)
    for name in ("/", "/night", "/jobs", "execution", "question"):
        text = browsing.get(found[name]).ok().body.decode()
        assert "<script>alert" not in text
        assert "&lt;script&gt;alert" in text, name


def test_output_is_text_and_only_colour_acts(browsing: Browsing, api: Api) -> None:
    """Markup is shown, colours become class names, other control sequences are seen."""
    held = api.start()
    held.append(b"\x1b[1;31m<script>alert(1)</script>\x1b[0m\x1b]0;title\x07\n").ok()
    text = browsing.get(f"/executions/{held.id}").ok().body.decode()
    assert '<span class="b f1">&lt;script&gt;alert(1)&lt;/script&gt;</span>' in text
    assert "\N{SYMBOL FOR ESCAPE}]0;title\N{SYMBOL FOR BELL}" in text
    assert "\x1b" not in text


def test_the_first_page_is_small(browsing: Browsing, api: Api) -> None:
    """With all that it loads, as a browser asks for it, it stays below 60 kB."""
    for _ in range(50):
        api.create()
    text = browsing.get("/").ok().body
    total = len(text)
    for path in set(re.findall(r"(?:src|href)=\"(/static/[^\"]+)\"", text.decode())):
        asset = browsing.get(path, {"Accept-Encoding": "gzip, br"}).ok()
        assert "immutable" in asset.headers["Cache-Control"]
        assert gzip.decompress(asset.body) == browsing.get(path).ok().body
        total += len(asset.body)
    assert total < FIRST_PAGE_BYTES_MAX


# --------------------------------------------------------------------------------- doing things


def test_a_retry_leads_to_the_new_execution_and_is_one_however_often_it_is_sent(
    browsing: Browsing, api: Api
) -> None:
    """The form carries a key: sent again, it leads to the same execution."""
    failed = api.brought_to("failed")["id"]
    page = f"/executions/{failed}/retry"
    fields = browsing.hidden(page)
    places = {browsing.send(page, fields).ok(303).headers["Location"] for _ in range(2)}
    assert places == {f"/executions/{api.one(failed)['retried_as']}"}
    assert api.types(failed).count("retried") == 1


def test_a_cancel_comes_back_to_the_execution(browsing: Browsing, api: Api) -> None:
    """What waited is canceled."""
    made = api.create()["id"]
    answer = browsing.submit(f"/executions/{made}/cancel", f"/executions/{made}/cancel").ok(303)
    assert answer.headers["Location"] == f"/executions/{made}"
    assert api.one(made)["status"] == "canceled"


def test_what_is_not_possible_is_a_page_that_says_why(browsing: Browsing, api: Api) -> None:
    """A success cannot be retried: 409, in the words of the API."""
    done = api.brought_to("success")["id"]
    answer = browsing.submit(f"/executions/{done}/retry", f"/executions/{done}/retry")
    assert answer.status == 409
    assert b"success" in answer.body


@pytest.mark.parametrize(
    ("change", "headers"),
    [
        ({"form_token": ""}, {}),
        ({"form_token": "0" * 32}, {}),
        ({}, {"Origin": "https://evil.example"}),
        ({}, {"Origin": "null"}),
        ({}, {"Sec-Fetch-Site": "cross-site"}),
        ({}, {"Sec-Fetch-Site": "same-site"}),
    ],
)
def test_a_forged_form_does_nothing(
    browsing: Browsing, api: Api, change: dict[str, str], headers: dict[str, str]
) -> None:
    """Without this session's token, or from another site, it is a 403."""
    failed = api.brought_to("failed")["id"]
    page = f"/executions/{failed}/retry"
    fields = browsing.hidden(page)
    assert browsing.send(page, {**fields, **change}, headers).status == 403
    assert "retried" not in api.types(failed)


def test_a_form_of_another_session_does_nothing(
    server: ServerProcess, browsing: Browsing, api: Api
) -> None:
    """The token in a form is good for the session that it was made for."""
    other = Browsing(server.api)
    other.sign_in(api.token or "")
    failed = api.brought_to("failed")["id"]
    page = f"/executions/{failed}/retry"
    assert other.send(page, browsing.hidden(page)).status == 403


def test_a_reader_sees_no_button_and_may_not_press_it(reader: Browsing, api: Api) -> None:
    """Neither on the page nor by hand: 403."""
    failed, waiting = api.brought_to("failed")["id"], api.create()["id"]
    for one, action in ((failed, "retry"), (waiting, "cancel")):
        text = reader.get(f"/executions/{one}").ok().body.decode()
        assert f"/{action}" not in text
        assert "<dialog" not in text
        token = reader.hidden(f"/executions/{one}")["form_token"]
        assert reader.get(f"/executions/{one}/{action}").status == 403
        assert reader.send(f"/executions/{one}/{action}", {"form_token": token}).status == 403
    assert api.one(waiting)["status"] == "pending"
    assert "Retry" not in reader.get("/night").body.decode()


def test_the_cookie_reads_the_api_and_changes_nothing_there(browsing: Browsing, api: Api) -> None:
    """A page's script may follow output; a form on another site could send a POST, so: 401."""
    failed = api.brought_to("failed")["id"]
    cookie = {"Cookie": browsing.cookie}
    nobody = api.with_token(None)
    nobody.request("GET", f"{PATH}/{failed}/logs", headers=cookie).ok()
    assert nobody.request("POST", f"{PATH}/{failed}/retry", headers=cookie).status == 401
    secret = browsing.cookie.partition("=")[2]
    assert api.with_token(secret).get().status == 401


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({"Content-Type": "application/json"}, b"{}", 415),
        (FORM, b"\xff\xfe=%ff", 400),
        (FORM, b"a=b&" * 30, 400),
        (FORM, b"a=" + b"b" * 70_000, 413),
    ],
)
def test_what_is_no_form_is_refused(
    browsing: Browsing, api: Api, headers: dict[str, str], body: bytes, status: int
) -> None:
    """A 4xx page with a sentence."""
    made = api.create()["id"]
    sent = {**headers, "Cookie": browsing.cookie}
    answer = browsing.api.request("POST", f"/executions/{made}/cancel", body=body, headers=sent)
    assert answer.status == status
    assert answer.headers["Content-Type"].startswith("text/html")


# ------------------------------------------------------------------------------------- history


def shown_ids(browsing: Browsing, path: str) -> list[str]:
    """The executions that a page of the history shows, in order."""
    return re.findall(r'<tr id="(exec_\w+)"', browsing.get(path).ok().body.decode())


def test_the_history_shows_what_the_list_answers(browsing: Browsing, api: Api) -> None:
    """The same executions in the same order, for every filter."""
    job = api.brought_to("failed")["job_id"]
    for query in ("", "status=failed", "status=failed&status=success", f"job_id={job}"):
        listed = api.get("", query).ok().json()["data"]
        assert shown_ids(browsing, f"/?{query}") == [one["id"] for one in listed]


def test_the_history_is_endless(browsing: Browsing, api: Api) -> None:
    """Each page ends with the way to the next; together they are all there is, each once."""
    name = fresh("many")
    made = [api.create(job_name=name)["id"] for _ in range(101)]
    path, found = f"/?q={name}", []
    while path:
        text = browsing.get(path).ok().body.decode()
        found += re.findall(r'<tr id="(exec_\w+)"', text)
        onward = re.findall(r'<a href="([^"]+)">Older</a>', text)
        path = onward[0].replace("&amp;", "&") if onward else ""
    assert found == made[::-1]


def test_jobs_are_found_by_a_part_of_their_name(browsing: Browsing, api: Api) -> None:
    """In any case; what no job is called shows nothing, and says so."""
    name = fresh("Nightly Backup")
    made = api.create(job_name=name)["id"]
    mark = name.removeprefix("Nightly ").upper()
    eventually(lambda: shown_ids(browsing, f"/?q={quote(mark)}") == [made], "the job by its name")
    assert b"Nothing matches" in browsing.get(f"/?q={fresh('nobody')}").ok().body


def test_changes_come_as_rows_and_no_change_comes_as_nothing(browsing: Browsing, api: Api) -> None:
    """From the position of a page on: new rows, and rows whose status is no longer asked for."""
    job = fresh("live")
    held = api.start(job_name=job)
    text = browsing.get(f"/?q={job}&status=running").ok().body.decode()
    mark = re.findall(r'data-after="(\d+)"', text)[0]
    address = f"/live?status=running&job_id={held.execution['job_id']}&after={mark}"
    held.complete(outcome="exited", exit_code=0).ok()
    later = api.start(job_name=job)

    def look() -> str:
        return browsing.get(address).ok(200, 204).body.decode()

    rows = eventually(lambda: (found := look()).count("<tr ") == 2 and found, "both rows")
    assert re.findall(rf'<tr id="{held.id}" data-at="\d+" data-stranger>', rows or "")
    assert re.findall(rf'<tr id="{later.id}" data-at="\d+">', rows or "")
    position = browsing.get(address).headers["Page-Position"]
    assert browsing.get(re.sub(r"after=\d+", f"after={position}", address)).status == 204
