"""The OpenAPI document, built from the route table and the messages."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, JsonSchemaValue, models_json_schema

from identity_reward_client.messages import API_VERSION, ErrorResponse
from identity_reward_client.wire.headers import IDEMPOTENCY_HEADER, PRIORITIES, PRIORITY_HEADER, TIMEOUT_HEADER
from identity_reward_client.wire.raw_body import CONTENT_TYPE as SAFETENSORS

from .route import JSON, Parameter, Route

# (message, whether it is read or written) -> reference to its schema
_References = Mapping[Any, JsonSchemaValue]

_SCORING_HEADERS = (
    Parameter(
        PRIORITY_HEADER,
        "priority class",
        {"type": "string", "enum": [*PRIORITIES], "default": "interactive"},
    ),
    Parameter(TIMEOUT_HEADER, "seconds within which the response is needed", {"type": "number", "exclusiveMinimum": 0}),
    Parameter(
        IDEMPOTENCY_HEADER,
        "equal for repeats of a request",
        {"type": "string", "pattern": r"^[\x21-\x7e]{1,200}$"},
    ),
)


def build_document(routes: Sequence[Route]) -> dict[str, Any]:
    """An OpenAPI 3.1 document of the routes."""
    inputs = {route.request for route in routes if route.request}
    outputs = {route.response for route in routes if isinstance(route.response, type)} | {ErrorResponse}
    pairs: list[tuple[type[BaseModel], JsonSchemaMode]] = [(model, "validation") for model in _by_name(inputs)]
    pairs += [(model, "serialization") for model in _by_name(outputs)]
    references, schemas = models_json_schema(pairs, ref_template="#/components/schemas/{model}")
    paths: dict[str, Any] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, references)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Identity Reward",
            "version": API_VERSION,
            "description": (
                "An identity-consistency reward for multi-human video. Every response carries `X-Request-Id`, taken "
                "from the request or generated. Responses of status 429 and 503 carry `Retry-After`. If the "
                "operator has created tokens, every route needs one."
            ),
        },
        "paths": paths,
        "components": {
            "schemas": dict(sorted(schemas["$defs"].items())),
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A token of scope `score`, or `admin` where an operation says so.",
                }
            },
        },
    }


def _by_name(models: set[type[BaseModel]]) -> list[type[BaseModel]]:
    return sorted(models, key=lambda model: model.__name__)


def _operation(route: Route, references: _References) -> dict[str, Any]:
    if isinstance(route.response, str):
        content: dict[str, Any] = {route.response: {"schema": {}}}
    else:
        content = {route.response_type: {"schema": references[route.response, "serialization"]}}
    problem = {JSON: {"schema": references[ErrorResponse, "serialization"]}}
    statuses = sorted((401, 403, *route.errors))
    operation: dict[str, Any] = {
        "operationId": _operation_id(route),
        "summary": route.summary,
        "security": [{"token": [route.scope]}, {}],
        "responses": {
            str(route.status): {"description": HTTPStatus(route.status).phrase, "content": content},
            **{str(status): {"description": _STATUS_DESCRIPTIONS[status], "content": problem} for status in statuses},
            "default": {"description": "Any other error, in the same form", "content": problem},
        },
    }
    if route.description:
        operation["description"] = route.description
    parameters = [
        *({"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
          for name in re.findall(r"{(\w+)}", route.path)),
        *_parameters("query", route.query),
        *_parameters("header", _SCORING_HEADERS if route.scores else ()),
    ]  # fmt: skip
    if parameters:
        operation["parameters"] = parameters
    if route.request is not None:
        schema: dict[str, Any] = {} if route.content_type == SAFETENSORS else references[route.request, "validation"]
        bodies = {content_type: {"schema": schema} for content_type in route.content_types}
        operation["requestBody"] = {"required": True, "content": bodies}
    return operation


def _parameters(location: str, parameters: Sequence[Parameter]) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": location, "required": False, "description": description, "schema": schema}
        for name, description, schema in parameters
    ]


_STATUS_DESCRIPTIONS = {
    400: "Malformed body, unknown field, wrong type or shape",
    401: "No token, or one that the server does not know",
    403: "The scope of the token is too low",
    404: "No such model or job, or a reference set that is not stored",
    409: "The same Idempotency-Key came with another body",
    413: "Body over the server's limit",
    415: "Content type that the route does not take",
    422: "Media, frames or counts that cannot be scored",
    429: "Over this client's rate: try again after Retry-After seconds",
    500: "The service failed",
    503: "Overloaded, not ready or out of storage: try again after Retry-After seconds",
    504: "Not answered in time",
}


def _operation_id(route: Route) -> str:
    words = route.path.translate(str.maketrans("/:.-{}", "      ")).split() or ["index"]
    return "_".join([route.method.lower(), *words])
