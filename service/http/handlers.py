"""Handlers of scoring, models, reference sets, probes and metrics: one engine call each."""

from __future__ import annotations

from starlette.responses import PlainTextResponse, Response

from identity_reward_client.errors import NotReady
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

from ..operations.metrics import CONTENT_TYPE
from .request import ApiRequest


async def score(request: ApiRequest[ScoreRequest]) -> ScoreResponse:
    return await request.engine.score(request.message, request.call)


async def compare(request: ApiRequest[CompareRequest]) -> CompareResponse:
    return await request.engine.compare(request.message, request.call)


async def score_group(request: ApiRequest[GroupRequest]) -> GroupResponse:
    return await request.engine.score_group(request.message, request.call)


async def put_reference_set(request: ApiRequest[ReferenceSet]) -> ReferenceSetResponse:
    return await request.engine.put_references(request.message, request.call)


async def list_models(request: ApiRequest[None]) -> ModelList:
    return ModelList(models=request.engine.models())


async def get_model(request: ApiRequest[None]) -> ModelInfo:
    return request.engine.model(request.path_params["name"])


async def get_liveness(request: ApiRequest[None]) -> Response:
    return PlainTextResponse("\n")


async def get_readiness(request: ApiRequest[None]) -> Response:
    if not request.engine.ready:
        raise NotReady("the server is starting or stopping", retry_after_s=5)
    return PlainTextResponse("\n")


async def get_metrics(request: ApiRequest[None]) -> Response:
    return Response(request.services.metrics.text(), headers={"Content-Type": CONTENT_TYPE})
