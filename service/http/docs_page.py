"""The OpenAPI document as one HTML page, without scripts and without requests to other hosts."""

from __future__ import annotations

import json
from html import escape
from typing import Any

from identity_reward_client.errors import server_errors

_STYLE = """
:root{color-scheme:light dark;--line:#8884;--soft:#8881;--accent:#0a7;--mono:ui-monospace,Menlo,Consolas,monospace}
body{font:16px/1.55 system-ui,sans-serif;max-width:54rem;margin:0 auto;padding:2rem 1rem 4rem}
h1{margin:0 0 .3rem}h2{margin:2.5rem 0 .8rem;font-size:1.15rem}code,pre{font-family:var(--mono);font-size:.86em}
details{border:1px solid var(--line);border-radius:.5rem;margin:.5rem 0;padding:.55rem .9rem}
details>div{scroll-margin-top:4rem}details[open]{background:var(--soft)}summary{cursor:pointer}
.method{display:inline-block;min-width:3.4rem;font:600 .8rem var(--mono);color:var(--accent)}
.path{font:600 .95rem var(--mono);margin-right:.8rem}.note{opacity:.75}
table{border-collapse:collapse;width:100%;margin:.5rem 0}
td,th{border-top:1px solid var(--line);padding:.35rem .6rem .35rem 0;text-align:left;vertical-align:top}
pre{background:var(--soft);border-radius:.4rem;padding:.8rem;overflow-x:auto}a{color:var(--accent)}
"""

_EXAMPLE = """curl -s http://127.0.0.1:3000/v1/score -H 'Content-Type: application/json' -d @- <<EOF
{"references": [{"data": "$(base64 < person.jpg | tr -d '\\n')"}],
 "video": {"data": "$(base64 < clip.mp4 | tr -d '\\n')"}}
EOF"""


def render_page(document: dict[str, Any]) -> str:
    info = document["info"]
    operations = [
        _operation(method, path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    schemas = [_schema(name, schema) for name, schema in document["components"]["schemas"].items()]
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(info["title"])}</title>'
        f'<meta name="viewport" content="width=device-width,initial-scale=1"><style>{_STYLE}</style></head><body>'
        f"<h1>{escape(info['title'])} {escape(info['version'])}</h1><p>{_text(info['description'])} "
        f'The same as <a href="/openapi.json">OpenAPI</a>.</p><pre>{escape(_EXAMPLE)}</pre>'
        f"<h2>Routes</h2>{''.join(operations)}<h2>Messages</h2>{''.join(schemas)}"
        f"<h2>Errors</h2>{_errors()}</body></html>"
    )


def _text(text: str) -> str:
    """HTML of the text; text between backquotes becomes code."""
    parts = escape(text).split("`")
    return "".join(f"<code>{part}</code>" if i % 2 else part for i, part in enumerate(parts))


def _operation(method: str, path: str, operation: dict[str, Any]) -> str:
    rows = "".join(
        f"<tr><td><code>{status}</code></td><td>{escape(response['description'])}</td>"
        f"<td>{_content(response)}</td></tr>"
        for status, response in operation["responses"].items()
    )
    body = f"<p>Body: {_content(operation['requestBody'])}</p>" if "requestBody" in operation else ""
    description = f"<p>{_text(operation['description'])}</p>" if "description" in operation else ""
    return (
        f'<details><summary><span class="method">{method.upper()}</span>'
        f'<span class="path">{escape(path)}</span><span class="note">{escape(operation["summary"])}</span></summary>'
        f'<div id="{operation["operationId"]}">{description}{body}<table>{rows}</table></div></details>'
    )


def _content(holder: dict[str, Any]) -> str:
    return ", ".join(
        f"{_type(content['schema'])} <code>{escape(kind)}</code>" for kind, content in holder["content"].items()
    )


def _schema(name: str, schema: dict[str, Any]) -> str:
    required = set(schema.get("required", ()))
    rows = "".join(
        f"<tr><td><code>{escape(field)}</code></td><td>{_type(value)}</td>"
        f"<td>{'required' if field in required else _default(value)}</td>"
        f"<td>{_text(value.get('description', ''))}</td></tr>"
        for field, value in schema.get("properties", {}).items()
    )
    listed = f"<p>One of {escape(', '.join(map(str, schema['enum'])))}</p>" if "enum" in schema else ""
    # the id is inside of <details>, so that following a link to it opens the fold
    return (
        f'<details><summary><span class="path">{escape(name)}</span></summary><div id="{escape(name)}">'
        f"<p>{_text(schema.get('description', ''))}</p>{listed}<table>{rows}</table></div></details>"
    )


def _errors() -> str:
    rows = "".join(
        f"<tr><td><code>{cls.code}</code></td><td><code>{cls.http_status}</code></td>"
        f"<td>{'retryable' if cls.retryable else ''}</td><td>{escape(cls.meaning)}</td></tr>"
        for cls in server_errors()
    )
    return f"<table>{rows}</table>"


def _default(schema: dict[str, Any]) -> str:
    return f"<code>{escape(json.dumps(schema['default']))}</code>" if "default" in schema else ""


def _type(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f'<a href="#{name}">{name}</a>'
    if "anyOf" in schema:
        return " or ".join(_type(option) for option in schema["anyOf"])
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    return escape(schema.get("contentEncoding") or schema.get("type", ""))
