"""The route table: every route of the HTTP API, declared once."""

from __future__ import annotations

from functools import cache
from typing import Any

from starlette.responses import HTMLResponse, JSONResponse, Response

from identity_reward_client.messages import (
    CompareRequest,
    CompareResponse,
    GroupRequest,
    GroupResponse,
    ModelInfo,
    ModelList,
    ReferenceSet,
    ReferenceSetResponse,
    ScoreRequest,
    ScoreResponse,
)
from identity_reward_client.wire.job_messages import JSONL, NDJSON, JobInfo, JobItem, JobList, JobResult
from identity_reward_client.wire.raw_body import CONTENT_TYPE as SAFETENSORS

from . import handlers, job_handlers
from .docs_page import render_page
from .openapi import build_document
from .request import ApiRequest
from .route import HTML, JSON, TEXT, Parameter, Route

_STRING = {"type": "string"}
_COUNT = {"type": "integer", "minimum": 0}
_SCORING_ERRORS = (400, 404, 409, 413, 415, 422, 429, 500, 503, 504)


@cache
def openapi_document() -> dict[str, Any]:
    """The OpenAPI 3.1 document of `ROUTES`."""
    return build_document(ROUTES)


async def get_document(request: ApiRequest[None]) -> Response:
    return JSONResponse(openapi_document())


async def get_docs(request: ApiRequest[None]) -> Response:
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    return HTMLResponse(render_page(openapi_document()), headers={"Content-Security-Policy": policy})


SCORE = Route(
    "POST", "/v1/score", handlers.score, "Score one video", ScoreResponse, ScoreRequest, errors=_SCORING_ERRORS,
    description="How well the video preserves the identities of the people in the reference images.",
)  # fmt: skip
COMPARE = Route(
    "POST", "/v1/compare", handlers.compare, "Compare two videos", CompareResponse, CompareRequest,
    errors=_SCORING_ERRORS,
    description="Two rewards and the probabilities of a win, a tie and a loss under Bradley-Terry-with-Ties.",
)  # fmt: skip
SCORE_GROUP = Route(
    "POST", "/v1/groups", handlers.score_group, "Score a group of videos", GroupResponse, GroupRequest,
    errors=_SCORING_ERRORS,
    description="Videos made from one reference set: a reward or a typed error for each, matrices on request.",
)  # fmt: skip

ROUTES = (
    SCORE,
    COMPARE,
    SCORE_GROUP,
    Route(
        "POST", "/v1/groups:raw", handlers.score_group, "Score a group of raw frames", GroupResponse, GroupRequest,
        SAFETENSORS, errors=_SCORING_ERRORS,
        description=(
            "The same as `/v1/groups`, the body one safetensors file. Tensors, all uint8: `video.N` [T, H, W, 3] for "
            "each video, `reference.N` [H, W, 3] or 1-D (an encoded image file) for each reference. The metadata's "
            "one key `request` is JSON text of a GroupRequest without pixels: `videos` holds `fps` and, for chosen "
            "frames, `num_source_frames` and `frame_indices`; `references` only the id of a stored set."
        ),
    ),
    Route(
        "PUT", "/v1/reference-sets", handlers.put_reference_set, "Store reference images", ReferenceSetResponse,
        ReferenceSet, errors=(400, 413, 415, 422, 503, 504),
        description="The returned id, a hash of the images, replaces them in requests while the server keeps them.",
    ),
    Route("GET", "/v1/models", handlers.list_models, "List the served models", ModelList, errors=(503,)),
    Route("GET", "/v1/models/{name}", handlers.get_model, "Describe a served model", ModelInfo, errors=(404, 503)),
    Route(
        "POST", "/v1/jobs", job_handlers.submit_job, "Score a manifest later", JobInfo, JobItem, NDJSON, JSONL,
        status=202, errors=(400, 404, 409, 413, 415, 422, 503, 504),
        description=(
            "A line of JSON for each video. The response comes when all of it is on the server's disk: a restart loses "
            "nothing. With an `Idempotency-Key`, the same manifest sent again is the same job."
        ),
    ),
    Route(
        "GET", "/v1/jobs", job_handlers.list_jobs, "List jobs", JobList, errors=(400, 404),
        query=(
            Parameter("after", "id of a job: the list continues after it", _STRING),
            Parameter("limit", "1 to 1000; 100", _COUNT),
        ),
    ),
    Route("GET", "/v1/jobs/{id}", job_handlers.get_job, "Progress of a job", JobInfo, errors=(404,)),
    Route(
        "DELETE", "/v1/jobs/{id}", job_handlers.cancel_job, "Cancel a job", JobInfo, errors=(404, 503),
        description=(
            "No more of its items are scored, and its images and videos are deleted. Its results stay as long as those "
            "of any finished job. A job that has finished stays as it is."
        ),
    ),
    Route(
        "GET", "/v1/jobs/{id}/results", job_handlers.get_job_results, "Results of a job so far", JobResult,
        response_type=NDJSON, errors=(400, 404),
        query=(
            Parameter("after", "`number` of the last result of the previous page; 0", _COUNT),
            Parameter("limit", "lines of the page, 1 to 1000; 1000", _COUNT),
        ),
        description=(
            "A line of JSON for each result, in order of completion: `scored` or `error`. An empty response means that "
            "there is no new result yet or, once the job has finished, that there are no more."
        ),
    ),
    Route("GET", "/livez", handlers.get_liveness, "Liveness of the process", TEXT, probe=True),
    Route("GET", "/readyz", handlers.get_readiness, "Readiness of the models", TEXT, errors=(503,), probe=True),
    Route("GET", "/metrics", handlers.get_metrics, "Metrics for Prometheus", TEXT, scope="admin"),
    Route("GET", "/openapi.json", get_document, "This document", JSON),
    Route("GET", "/docs", get_docs, "This document as a page", HTML),
    Route("GET", "/", get_docs, "The same page", HTML),
)  # fmt: skip
