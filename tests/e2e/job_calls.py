"""Jobs of grey videos over HTTP, as a caller without a client library sends them."""

import json
from collections.abc import Callable

import httpx

from identity_reward_client.wire.job_messages import JobResult
from tests.support.grey_videos import grey_request, grey_video
from tests.support.server import ServeProcess
from tests.support.waiting import GENEROUS_S, wait_until

NDJSON = {"Content-Type": "application/x-ndjson"}


def manifest(levels: list[int], **fields) -> bytes:
    """A line of JSON for each level; its reward is the level, its time as many milliseconds."""
    reference = grey_request(0)["references"]
    lines = [
        {"id": f"i{n}", "references": reference, "video": grey_video(level, n), **fields}
        for n, level in enumerate(levels)
    ]
    return "\n".join(map(json.dumps, lines)).encode()


def submit(server: ServeProcess, levels: list[int], **headers: str) -> dict:
    url = f"{server.url}/v1/jobs"
    answer = httpx.post(url, content=manifest(levels), headers=NDJSON | headers, timeout=GENEROUS_S)
    assert answer.status_code == 202, answer.text
    return answer.json()


def info(server: ServeProcess, job: str) -> dict:
    answer = httpx.get(f"{server.url}/v1/jobs/{job}", timeout=GENEROUS_S)
    assert answer.status_code == 200, answer.text
    return answer.json()


def is_done(state: dict) -> bool:
    return state["state"] == "done"


def wait_for_job(server: ServeProcess, job: str, condition: Callable[[dict], bool] = is_done) -> dict:
    """The job's state once `condition` holds for it."""

    def state() -> dict | None:
        now = info(server, job)
        return now if condition(now) else None

    return wait_until(state, f"job {job} is where the test wants it")


def results(server: ServeProcess, job: str, limit: int = 1000) -> list[JobResult]:
    """All pages of results, joined."""
    job_results: list[JobResult] = []
    while True:
        page = {"after": job_results[-1].number if job_results else 0, "limit": limit}
        answer = httpx.get(f"{server.url}/v1/jobs/{job}/results", params=page, timeout=GENEROUS_S)
        assert answer.headers["content-type"] == "application/x-ndjson"
        lines = [JobResult.model_validate_json(line) for line in answer.text.splitlines()]
        job_results += lines
        if not lines:
            return job_results


def rewards(job_results: list[JobResult]) -> list[tuple[str, float]]:
    return sorted((result.id, result.scored.reward) for result in job_results)


def expected_rewards(levels: list[int]) -> list[tuple[str, float]]:
    return sorted((f"i{n}", float(level)) for n, level in enumerate(levels))
