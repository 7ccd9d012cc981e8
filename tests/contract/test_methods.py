"""HEAD and OPTIONS: what a path has beside its own methods."""

import http.client
from urllib.parse import urlsplit

import pytest

from tests.support.calls import PATH, Api

# What tells one request from another, or one moment from the next.
_OWN = {"date", "server-timing"}


def _heads(api: Api, path: str) -> tuple[dict[str, str], dict[str, str]]:
    """The headers of GET and of HEAD, asked for one after the other on one connection."""
    parts = urlsplit(api.url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=20)
    found = []
    for method in ("GET", "HEAD"):
        connection.request(method, path, headers={"Authorization": f"Bearer {api.token}"})
        answer = connection.getresponse()
        body = answer.read()
        assert answer.status == 200
        assert (body == b"") == (method == "HEAD")
        found.append({name.lower(): value for name, value in answer.getheaders()})
    connection.close()
    get, head = ({k: v for k, v in one.items() if k not in _OWN} for one in found)
    return get, head


@pytest.mark.parametrize(
    "path", ["/health/ready", "/schema", "/docs", f"{PATH}?limit=1", "/sign-in"]
)
def test_head_is_get_without_a_body(api: Api, path: str) -> None:
    """Monitors and proxies ask with HEAD: the same head, nothing behind it, the line still good."""
    get, head = _heads(api, path)
    assert head == get


def test_the_head_of_a_stream_has_an_end(api: Api) -> None:
    """A HEAD of what is followed says what would come, and does not wait for it."""
    reply = api.request("HEAD", "/v1/events", query={"follow": "true"}).ok()
    assert reply.headers["Content-Type"].startswith("text/event-stream")
    assert reply.body == b""


def test_head_needs_what_get_needs(api: Api) -> None:
    """Without a token it is refused, as the GET is."""
    assert api.with_token(None).request("HEAD", PATH).status == 401
