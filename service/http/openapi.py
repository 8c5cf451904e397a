"""The API, once: the table of routes, and the OpenAPI document that is made from it and the messages."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from identity_reward_client.messages import (
    API_VERSION,
    CompareRequest,
    CompareResponse,
    ErrorResponse,
    GroupRequest,
    GroupResponse,
    ModelInfo,
    ModelList,
    ReferenceSet,
    ReferenceSetResponse,
    RequestBase,
    ScoreRequest,
    ScoreResponse,
)
from identity_reward_client.wire.headers import IDEMPOTENCY_HEADER, PRIORITIES, PRIORITY_HEADER, TIMEOUT_HEADER
from identity_reward_client.wire.job_messages import JSONL, NDJSON, JobInfo, JobItem, JobList, JobResult
from identity_reward_client.wire.raw_body import CONTENT_TYPE as RAW

from ..auth.tokens import Scope

JSON = "application/json"
HTML = "text/html"
TEXT = "text/plain"


@dataclass(frozen=True)
class Route:
    method: str
    path: str
    summary: str
    response: type[BaseModel] | str  # a message, or the content type of anything else
    request: type[BaseModel] | None = None
    content_type: str = JSON
    description: str = ""
    errors: tuple[int, ...] = ()
    # of the token that it takes, where the server asks for tokens
    scope: Scope = "score"
    # asked by who watches over the process; see the setting open_probes
    probe: bool = False
    status: int = 200
    # of bodies and answers of lines, `request` and `response` are the message of a line
    other_content_type: str | None = None
    response_type: str = JSON
    # (name, what it says, its schema)
    query: tuple[tuple[str, str, dict[str, Any]], ...] = ()

    @property
    def scores(self) -> bool:
        """Whether a request waits for a model's turn."""
        return self.request is not None and issubclass(self.request, RequestBase) and self.status != 202

    @property
    def content_types(self) -> tuple[str, ...]:
        return (self.content_type,) if self.other_content_type is None else (self.content_type, self.other_content_type)


_TEXT = {"type": "string"}
_COUNT = {"type": "integer", "minimum": 0}
_SCORING = (400, 404, 409, 413, 415, 422, 429, 500, 503, 504)

ROUTES = (
    Route(
        "POST", "/v1/score", "Score one video", ScoreResponse, ScoreRequest, errors=_SCORING,
        description="How well the video keeps the identities of the people on the reference pictures.",
    ),
    Route(
        "POST", "/v1/compare", "Compare two videos", CompareResponse, CompareRequest, errors=_SCORING,
        description="Two rewards and the probabilities of a win, a tie and a loss under Bradley-Terry-with-Ties.",
    ),
    Route(
        "POST", "/v1/groups", "Score a group of videos", GroupResponse, GroupRequest, errors=_SCORING,
        description="Videos made from one reference set: a reward or a typed error for each, matrices on request.",
    ),
    Route(
        "POST", "/v1/groups:raw", "Score a group of raw frames", GroupResponse, GroupRequest, RAW, errors=_SCORING,
        description=(
            "The same as `/v1/groups`, the body one safetensors file. Tensors, all uint8: `video.N` [T, H, W, 3] for "
            "each video, `reference.N` [H, W, 3] or 1-D (an encoded picture file) for each reference. The metadata's "
            "one key `request` is JSON text of a GroupRequest without pixels: `videos` holds `fps` and, for chosen "
            "frames, `num_source_frames` and `frame_indices`; `references` only the id of a stored set."
        ),
    ),
    Route(
        "PUT", "/v1/reference-sets", "Store reference pictures", ReferenceSetResponse, ReferenceSet,
        errors=(400, 413, 415, 422, 503, 504),
        description="The answered id, a hash of the pictures, stands for them in requests while the server keeps them.",
    ),
    Route("GET", "/v1/models", "List the served models", ModelList, errors=(503,)),
    Route("GET", "/v1/models/{name}", "Describe a served model", ModelInfo, errors=(404, 503)),
    Route(
        "POST", "/v1/jobs", "Score a manifest later", JobInfo, JobItem, NDJSON, status=202, other_content_type=JSONL,
        errors=(400, 404, 409, 413, 415, 422, 503, 504),
        description=(
            "A line of JSON for each video. The answer comes when all of it is on the server's disk: a restart loses "
            "nothing. With an `Idempotency-Key`, the same manifest sent again is the same job."
        ),
    ),
    Route(
        "GET", "/v1/jobs", "List jobs", JobList, errors=(400, 404),
        query=(("after", "id of a job: the list goes on behind it", _TEXT), ("limit", "1 to 1000; 100", _COUNT)),
    ),
    Route("GET", "/v1/jobs/{id}", "Progress of a job", JobInfo, errors=(404,)),
    Route(
        "DELETE", "/v1/jobs/{id}", "Cancel a job", JobInfo, errors=(404, 503),
        description=(
            "Nothing more of it is scored, and its pictures and videos are deleted. Its results stay as long as those "
            "of any finished job. A job that has finished stays as it is."
        ),
    ),
    Route(
        "GET", "/v1/jobs/{id}/results", "Results of a job so far", JobResult, errors=(400, 404), response_type=NDJSON,
        query=(
            ("after", "the `number` of the last result that is known already; 0", _COUNT),
            ("limit", "lines of this page, 1 to 1000; 1000", _COUNT),
        ),
        description=(
            "A line of JSON for each result, in the order in which they came: `scored` or `error`. An empty answer: "
            "there is nothing new yet, or, once the job has finished, nothing more."
        ),
    ),
    Route("GET", "/livez", "Is the process alive", TEXT, probe=True),
    Route("GET", "/readyz", "Are the models loaded", TEXT, errors=(503,), probe=True),
    Route("GET", "/metrics", "Metrics for Prometheus", TEXT, scope="admin"),
    Route("GET", "/openapi.json", "This document", JSON),
    Route("GET", "/docs", "This document as a page", HTML),
    Route("GET", "/", "The same page", HTML),
)  # fmt: skip


_CALL_HEADERS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    (PRIORITY_HEADER, "whose turn is first", {"type": "string", "enum": [*PRIORITIES], "default": "interactive"}),
    (TIMEOUT_HEADER, "seconds that the answer is waited for", {"type": "number", "exclusiveMinimum": 0}),
    (IDEMPOTENCY_HEADER, "equal for repeats of one request", {"type": "string", "pattern": r"^[\x21-\x7e]{1,200}$"}),
)


@cache
def document() -> dict[str, Any]:
    """An OpenAPI 3.1 document of every route."""
    inputs = {route.request for route in ROUTES if route.request}
    outputs = {route.response for route in ROUTES if isinstance(route.response, type)} | {ErrorResponse}
    pairs: list[tuple[type[BaseModel], JsonSchemaMode]] = [(model, "validation") for model in _by_name(inputs)]
    pairs += [(model, "serialization") for model in _by_name(outputs)]
    references, schemas = models_json_schema(pairs, ref_template="#/components/schemas/{model}")
    paths: dict[str, Any] = {}
    for route in ROUTES:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, references)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Identity Reward",
            "version": API_VERSION,
            "description": (
                "An identity-consistency reward for multi-human video. Every answer carries `X-Request-Id`, taken "
                "from the request's header of that name or made. Answers of 429 and 503 carry `Retry-After`. Where the "
                "operator has made tokens, every route takes one."
            ),
        },
        "paths": paths,
        "components": {
            "schemas": dict(sorted(schemas["$defs"].items())),
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A token of scope `score`, or `admin` where an operation names it.",
                }
            },
        },
    }


def _by_name(models: set[type[BaseModel]]) -> list[type[BaseModel]]:
    return sorted(models, key=lambda model: model.__name__)


def _operation(route: Route, references) -> dict[str, Any]:
    if isinstance(route.response, str):
        content: dict[str, Any] = {route.response: {"schema": {}}}
    else:
        content = {route.response_type: {"schema": references[route.response, "serialization"]}}
    problem = {JSON: {"schema": references[ErrorResponse, "serialization"]}}
    statuses = sorted((401, 403, *route.errors))
    operation: dict[str, Any] = {
        "operationId": _identifier(route),
        "summary": route.summary,
        "security": [{"token": [route.scope]}, {}],
        "responses": {
            str(route.status): {"description": HTTPStatus(route.status).phrase, "content": content},
            **{str(status): {"description": _STATUS[status], "content": problem} for status in statuses},
            "default": {"description": "Any other error, in the same shape", "content": problem},
        },
    }
    if route.description:
        operation["description"] = route.description
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": _TEXT} for name in re.findall(r"{(\w+)}", route.path)
    ]
    for name, says, kind in route.query:
        parameters.append({"name": name, "in": "query", "required": False, "description": says, "schema": kind})
    if route.scores:
        for name, says, kind in _CALL_HEADERS:
            parameters.append({"name": name, "in": "header", "required": False, "description": says, "schema": kind})
    if parameters:
        operation["parameters"] = parameters
    if route.request is not None:
        schema: dict[str, Any] = {} if route.content_type == RAW else references[route.request, "validation"]
        bodies = {content_type: {"schema": schema} for content_type in route.content_types}
        operation["requestBody"] = {"required": True, "content": bodies}
    return operation


_STATUS = {
    400: "Malformed body, unknown field, wrong type or shape",
    401: "The server asks for a token, and none that it knows came",
    403: "The token's scope doesn't reach this",
    404: "No such model or job, or a reference set that is not stored (any more)",
    409: "The same Idempotency-Key came with another body",
    413: "Body over the server's limit",
    415: "Content type that the route does not take",
    422: "Media, frames or counts that can't be scored as they are",
    429: "Over this client's rate: try again after Retry-After seconds",
    500: "The service failed",
    503: "Overloaded, not ready or without room: try again after Retry-After seconds",
    504: "Not answered in time",
}


def _identifier(route: Route) -> str:
    words = route.path.translate(str.maketrans("/:.-{}", "      ")).split() or ["index"]
    return "_".join([route.method.lower(), *words])
