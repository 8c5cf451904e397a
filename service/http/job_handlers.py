"""The routes of bulk jobs. Handlers of the mounted Starlette application; no logic."""

from __future__ import annotations

from starlette.endpoints import HTTPEndpoint
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from identity_reward_client.errors import InvalidRequest, NotFound
from identity_reward_client.wire.job_messages import NDJSON, JobInfo, JobList

from ..errors import typed
from ..jobs.service import MAX_RESULTS, Jobs
from .context import answer, current, error_response


def _jobs(request: Request) -> Jobs:
    jobs = getattr(request.app.state, "jobs", None)
    if jobs is None:
        raise NotFound("this server takes no jobs: it is started without jobs_path, a file to keep them in")
    return jobs


def _number(request: Request, name: str, default: int) -> int:
    """Of the query."""
    text = request.query_params.get(name)
    if text is None:
        return default
    if not text.isdecimal() or len(text) > 15:
        raise InvalidRequest(f"{name} must be a whole number from 0 on")
    return int(text)


async def submit(request: Request) -> Response:
    async def work() -> JobInfo:
        return await _jobs(request).submit(await request.body(), current.get().call)

    return await answer(work(), status=202)


async def list_jobs(request: Request) -> Response:
    async def work() -> JobList:
        limit = _number(request, "limit", 100)
        return await _jobs(request).list(current.get().call, request.query_params.get("after"), limit)

    return await answer(work())


async def get_job(request: Request) -> Response:
    async def work() -> JobInfo:
        return await _jobs(request).info(request.path_params["id"], current.get().call)

    return await answer(work())


async def cancel(request: Request) -> Response:
    async def work() -> JobInfo:
        return await _jobs(request).cancel(request.path_params["id"], current.get().call)

    return await answer(work())


async def get_results(request: Request) -> Response:
    try:
        after, limit = _number(request, "after", 0), _number(request, "limit", MAX_RESULTS)
        lines = await _jobs(request).results(request.path_params["id"], current.get().call, after, limit)
    except Exception as error:
        return error_response(typed(error))
    return Response(lines, media_type=NDJSON)


# one for all methods of a path: of two routes, the Allow of a 405 would name the first one's alone
class AllJobs(HTTPEndpoint):
    get, head, post = map(staticmethod, (list_jobs, list_jobs, submit))


class OneJob(HTTPEndpoint):
    get, head, delete = map(staticmethod, (get_job, get_job, cancel))


JOB_ROUTES = [
    Route("/v1/jobs", AllJobs),
    Route("/v1/jobs/{id}", OneJob),
    Route("/v1/jobs/{id}/results", get_results),
]
