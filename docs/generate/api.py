"""The HTTP routes and messages of the OpenAPI document, and the methods of the gRPC service, as Markdown."""

from __future__ import annotations

import json
from typing import Any

from identity_reward_client.proto import identity_reward_pb2
from service.http.routes import openapi_document

from .markdown import paragraph, plain, schema_type, table


def routes() -> str:
    """A section for every route: description, parameters, body and responses."""
    paths: dict[str, dict[str, Any]] = openapi_document()["paths"]
    sections = [
        _route(method.upper(), path, operation)
        for path, operations in paths.items()
        for method, operation in operations.items()
    ]
    return "\n\n".join(sections)


def _route(method: str, path: str, operation: dict[str, Any]) -> str:
    lines = [
        f"### `{method} {path}`",
        paragraph(f"{operation['summary']}. {plain(operation.get('description', ''))}".strip()),
    ]
    success = next(status for status in operation["responses"] if status.startswith("2"))
    rows = []
    if "requestBody" in operation:
        rows.append(("body", _content(operation["requestBody"]), ""))
    for parameter in operation.get("parameters", ()):
        name = f"{parameter['in']} `{parameter['name']}`"
        rows.append((name, schema_type(parameter["schema"]), plain(parameter.get("description", ""))))
    rows.append((f"answer {success}", _content(operation["responses"][success]), ""))
    statuses = [status for status in operation["responses"] if status.isdecimal() and status != success]
    lines.append(table(("part", "type", "meaning"), rows))
    lines.append(f"Errors: {', '.join(statuses)}." if statuses else "")
    return "\n\n".join(line for line in lines if line)


def _content(holder: dict[str, Any]) -> str:
    parts = []
    for content_type, content in holder["content"].items():
        kind = schema_type(content["schema"]) if content["schema"] else ""
        parts.append(f"{kind} `{content_type}`".strip())
    return ", ".join(parts)


def messages() -> str:
    """A section for every message: description and fields."""
    schemas: dict[str, dict[str, Any]] = openapi_document()["components"]["schemas"]
    return "\n\n".join(_message(name, schema) for name, schema in schemas.items())


def _message(name: str, schema: dict[str, Any]) -> str:
    parts = [f"### {name}", paragraph(plain(schema.get("description", "")))]
    if "enum" in schema:
        parts.append(f"One of {', '.join(f'`{value}`' for value in schema['enum'])}.")
    required = set(schema.get("required", ()))
    rows = [
        (
            f"`{field}`",
            schema_type(value),
            "required" if field in required else f"`{_json(value.get('default'))}`" if "default" in value else "",
            plain(value.get("description", "")),
        )
        for field, value in schema.get("properties", {}).items()
    ]
    if rows:
        parts.append(table(("field", "type", "default", "meaning"), rows))
    return "\n\n".join(part for part in parts if part)


def _json(value: Any) -> str:
    return json.dumps(value) if value is None or isinstance(value, bool | dict | list) else str(value)


def grpc_methods() -> str:
    (service,) = identity_reward_pb2.DESCRIPTOR.services_by_name.values()
    rows = []
    for method in service.methods:
        request, response = method.input_type.name, method.output_type.name
        rows.append((
            f"`{method.name}`",
            f"stream of `{request}`" if method.client_streaming else f"`{request}`",
            f"stream of `{response}`" if method.server_streaming else f"`{response}`",
        ))  # fmt: skip
    return table(("method", "request", "answer"), rows)
