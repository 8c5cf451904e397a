"""Handlers of bulk jobs."""

from __future__ import annotations

from starlette.responses import Response

from identity_reward_client.wire.job_messages import NDJSON, JobInfo, JobList

from ..jobs.service import MAX_RESULTS
from .request import ApiRequest


async def submit_job(request: ApiRequest[bytes]) -> JobInfo:
    return await request.jobs.submit(request.message, request.call)


async def list_jobs(request: ApiRequest[None]) -> JobList:
    limit = request.query_number("limit", 100)
    return await request.jobs.list(request.call, request.query.get("after"), limit)


async def get_job(request: ApiRequest[None]) -> JobInfo:
    return await request.jobs.info(request.path_params["id"], request.call)


async def cancel_job(request: ApiRequest[None]) -> JobInfo:
    return await request.jobs.cancel(request.path_params["id"], request.call)


async def get_job_results(request: ApiRequest[None]) -> Response:
    after, limit = request.query_number("after", 0), request.query_number("limit", MAX_RESULTS)
    lines = await request.jobs.results(request.path_params["id"], request.call, after, limit)
    return Response(lines, media_type=NDJSON)
