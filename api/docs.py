"""The description of the API for people: one page, rendered from the OpenAPI document.

No script and no external host: it reads the same offline, and in a hurry.
"""

from functools import cache
from html import escape
from typing import Any, Final

from api import openapi

_STYLE: Final = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
code, pre { font: 14px/1.5 ui-monospace, monospace; background: var(--soft); border-radius: 4px; }
code { padding: 0 .25em; } pre { padding: .75rem 1rem; overflow-x: auto; }
section { border-top: 1px solid var(--line); padding-top: .5rem; margin-top: 2rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .25rem .75rem .25rem 0;
         border-bottom: 1px solid var(--line); }
.method { text-transform: uppercase; font-weight: 700; }
details { margin: .5rem 0; } summary { cursor: pointer; }
"""

_INTRODUCTION: Final = """
<h1>Cronledger API</h1>
<p>What ran, when, on which machine, with what output, why it failed, and who retried it. The
machine-readable form of this page is <a href="/schema/openapi.json">/schema/openapi.json</a>.</p>
<p>Every request carries an access token: <code>Authorization: Bearer TOKEN</code> or
<code>X-API-Key: TOKEN</code>. The server's first start leaves one for its administrator in the
file <code>admin-token</code> of its home folder; <code>cronledger token create</code> makes
others, with the scopes <code>read</code>, <code>operate</code>, <code>agent</code> or
<code>admin</code>.</p>
<pre>curl -H "Authorization: Bearer $TOKEN" 'http://127.0.0.1:8420/v1/cron-executions?status=failed'
curl -H "Authorization: Bearer $TOKEN" http://127.0.0.1:8420/v1/cron-executions/ID
curl -H "Authorization: Bearer $TOKEN" -X POST http://127.0.0.1:8420/v1/cron-executions/ID/retry
</pre>
<p>Errors are <code>application/problem+json</code> (RFC 9457): <code>detail</code> is a sentence
that says what to do, <code>error.code</code> is for programs. <code>started_at</code> is null
while an execution is pending: nobody has started it yet.</p>
"""


@cache
def page() -> bytes:
    """Return the page."""
    document = openapi.described()
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>Cronledger API</title><style>{_STYLE}</style></head><body>",
        _INTRODUCTION,
    ]
    for path, methods in document["paths"].items():
        parts += [_operation(path, method, told) for method, told in methods.items()]
    parts.append("<section><h2>Objects</h2>")
    for name, schema in sorted(document["components"]["schemas"].items()):
        parts.append(_object(name, schema))
    parts.append("</section></body></html>")
    return "".join(parts).encode()


def _operation(path: str, method: str, told: dict[str, Any]) -> str:
    rows = [
        _row(parameter["name"], parameter["in"], _type(parameter["schema"]), _said(parameter))
        for parameter in told.get("parameters", [])
    ]
    if "requestBody" in told:
        for media, content in told["requestBody"]["content"].items():
            rows.append(_row("body", media, _type(content["schema"]), ""))
    answers = "".join(
        f"<tr><td><code>{status}</code></td><td>{escape(answer['description'])}</td>"
        f"<td>{_answer_type(answer)}</td></tr>"
        for status, answer in told["responses"].items()
    )
    table = f"<table>{''.join(rows)}</table>" if rows else ""
    return (
        f'<section id="{told["operationId"]}"><h2>{escape(told["summary"])}</h2>'
        f'<p><code><span class="method">{method}</span> {escape(path)}</code></p>'
        f"<p>{_marked(told.get('description', 'Needs no token.'))}</p>"
        f"{table}<details><summary>Answers</summary><table>{answers}</table></details></section>"
    )


def _said(parameter: dict[str, Any]) -> str:
    return f"{parameter['description']}{' (required)' if parameter['required'] else ''}"


def _row(name: str, place: str, kind: str, text: str) -> str:
    return (
        f"<tr><td><code>{escape(name)}</code></td><td>{escape(place)}</td><td>{kind}</td>"
        f"<td>{escape(text)}</td></tr>"
    )


def _answer_type(answer: dict[str, Any]) -> str:
    return " ".join(_type(content["schema"]) for content in answer.get("content", {}).values())


def _object(name: str, schema: dict[str, Any]) -> str:
    rows = "".join(
        f"<tr><td><code>{escape(field)}</code></td><td>{_type(told)}</td>"
        f"<td>{escape(told.get('description', ''))}</td></tr>"
        for field, told in schema.get("properties", {}).items()
    )
    text = escape(schema.get("description", ""))
    return f'<h3 id="{escape(name)}">{escape(name)}</h3><p>{text}</p><table>{rows}</table>'


def _type(schema: dict[str, Any]) -> str:
    """Return a schema in a few words."""
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f'<a href="#{name}">{name}</a>'
    if "anyOf" in schema:
        return " | ".join(_type(option) for option in schema["anyOf"])
    if "enum" in schema:
        return " | ".join(f"<code>{escape(str(value))}</code>" for value in schema["enum"])
    if schema.get("type") == "array" and isinstance(schema.get("items"), dict):
        return f"list of {_type(schema['items'])}"
    return escape(str(schema.get("type", "bytes")))


def _marked(text: str) -> str:
    """Return text with its `code` marked up."""
    pieces = escape(text).split("`")
    return "".join(
        f"<code>{piece}</code>" if index % 2 else piece for index, piece in enumerate(pieces)
    )
