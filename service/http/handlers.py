"""The routes that BentoML's APIs can't be: GET, PUT, a raw body, metrics and documentation. Mounted at /."""

from __future__ import annotations

import asyncio

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from identity_reward_client.errors import InvalidRequest
from identity_reward_client.messages import GroupResponse, ModelInfo, ModelList, ReferenceSet, ReferenceSetResponse
from identity_reward_client.wire import raw_body
from identity_reward_client.wire.validation import explain

from ..engine.engine import ScoringEngine
from ..operations.metrics import CONTENT_TYPE, Metrics
from .context import answer, current
from .docs_page import page
from .job_handlers import JOB_ROUTES
from .openapi import document


def _engine(request: Request) -> ScoringEngine:
    return request.app.state.engine


async def put_reference_set(request: Request) -> Response:
    async def put() -> ReferenceSetResponse:
        try:
            message = ReferenceSet.model_validate_json(await request.body() or b"{}")
        except ValidationError as error:
            raise InvalidRequest(explain(error)) from None
        return await _engine(request).put_references(message)

    return await answer(put())


async def score_raw_group(request: Request) -> Response:
    async def score() -> GroupResponse:
        message = await asyncio.to_thread(raw_body.decode, await request.body())
        return await _engine(request).score_group(message, current.get().call)

    return await answer(score())


async def list_models(request: Request) -> Response:
    async def models() -> ModelList:
        return ModelList(models=_engine(request).models())

    return await answer(models())


async def get_model(request: Request) -> Response:
    async def model() -> ModelInfo:
        return _engine(request).model(request.path_params["name"])

    return await answer(model())


async def get_metrics(request: Request) -> Response:
    return Response(request.app.state.metrics.text(), headers={"Content-Type": CONTENT_TYPE})


async def get_document(request: Request) -> Response:
    return JSONResponse(document())


async def get_docs(request: Request) -> Response:
    return HTMLResponse(
        page(document()), headers={"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}
    )


def build(metrics: Metrics) -> Starlette:
    """The app; whoever starts the engine sets `state.engine` and `state.jobs` before it is called."""
    app = Starlette(
        routes=[
            Route("/v1/reference-sets", put_reference_set, methods=["PUT"]),
            Route("/v1/groups:raw", score_raw_group, methods=["POST"]),
            Route("/v1/models", list_models),
            Route("/v1/models/{name}", get_model),
            *JOB_ROUTES,
            Route("/metrics", get_metrics),
            Route("/openapi.json", get_document),
            Route("/docs", get_docs),
            Route("/", get_docs),
        ]
    )
    app.state.metrics = metrics
    return app
