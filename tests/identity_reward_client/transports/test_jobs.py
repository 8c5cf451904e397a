import json

import pytest
from starlette.responses import Response

from identity_reward_client.errors import InvalidRequest, InvalidResponse, NotFound, Overloaded
from identity_reward_client.inputs.media import to_references
from identity_reward_client.messages import Image, Video
from identity_reward_client.transports.jobs import JobsClient, encode_manifest
from identity_reward_client.wire.content_ids import reference_set_id
from identity_reward_client.wire.job_messages import JobItem
from tests.identity_reward_client.transports.conftest import QUICK
from tests.identity_reward_client.transports.servers.responses import COMMON, SCORED

INFO = {
    "id": "j1", "state": "running", "total": 3, "done": 1, "failed": 0, "waiting": 2,
    "created_at": "2025-01-01T00:00:00+00:00",
}  # fmt: skip


@pytest.fixture
async def jobs(wire):
    client = JobsClient(wire.url + "/", retry=QUICK, token="idr_x\n")
    yield client
    await client.close()


def item(name: str, references) -> JobItem:
    return JobItem(id=name, references=references, video=Video(data=name.encode()))


def result(number: int, **fields) -> str:
    fields = fields or {"scored": {"reward": float(number), **SCORED, **COMMON}}
    return json.dumps({"number": number, "line": number, "id": f"i{number}", **fields}) + "\n"


def answer(content) -> Response:
    return Response(content if isinstance(content, str) else json.dumps(content), 200)


def test_shared_images_are_in_the_manifest_once(references):
    images, other = to_references(references), [Image(data=b"c")]
    lines = encode_manifest([item("a", images), item("b", other), item("c", images)]).decode().splitlines()
    sent = [json.loads(line)["references"] for line in lines]
    assert [isinstance(references, list) for references in sent] == [True, True, False]
    assert sent[2] == reference_set_id(images)


async def test_submit_sends_jsonl_under_one_key(jobs, wire):
    wire.script.extend([Overloaded("busy"), answer(INFO)])
    info = await jobs.submit([item("a", [Image(data=b"jpg")])])
    assert (info.id, info.finished) == ("j1", False)
    first, second = wire.requests
    assert (first.method, first.path, first.body) == ("POST", "/v1/jobs", second.body)
    assert first.headers["content-type"] == "application/x-ndjson"
    assert first.headers["authorization"] == "Bearer idr_x"
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"]


async def test_list_follows_the_pages(jobs, wire):
    wire.script.extend([answer({"jobs": [INFO], "next": "j1"}), answer({"jobs": [{**INFO, "id": "j0"}]})])
    assert [info.id async for info in jobs.list()] == ["j1", "j0"]
    assert len(wire.requests) == 2


async def test_results_are_those_after_the_number(jobs, wire):
    wire.script.append(answer(result(3) + result(4, error={"code": "invalid_media", "message": "no"})))
    results = [result async for result in jobs.results("j1", after=2)]
    assert [(result.number, result.error and result.error.code) for result in results] == [
        (3, None), (4, "invalid_media"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "lines",
    ["nonsense\n", result(1), result(3) + result(3), result(3, line=3), result(3).replace("3.0", "NaN")],
    ids=["not JSON", "before the number", "repeated", "neither scored nor error", "NaN"],
)
async def test_malformed_results_are_an_invalid_response(jobs, wire, lines):
    wire.script.append(answer(lines))
    with pytest.raises(InvalidResponse):
        _ = [result async for result in jobs.results("j1", after=2)]


async def test_wait_reports_progress_until_the_job_ends(jobs, wire):
    wire.script.extend([answer(INFO), answer({**INFO, "state": "done", "done": 3, "waiting": 0})])
    progress = []
    info = await jobs.wait("j1", progress.append, every_s=0)
    assert info.finished
    assert [info.done for info in progress] == [1, 3]


async def test_cancel_returns_the_state_and_unknown_jobs_are_not_found(jobs, wire):
    wire.script.extend([answer({**INFO, "state": "cancelled"}), NotFound("no such job")])
    assert (await jobs.cancel("j/1")).state == "cancelled"
    assert wire.requests[0].method == "DELETE"
    with pytest.raises(NotFound, match="no such job"):
        await jobs.info("j2")


@pytest.mark.parametrize("url", ["127.0.0.1:3000", "grpc://h:1", "http://"])
def test_malformed_url_is_refused(url):
    with pytest.raises(InvalidRequest, match="URL looks like"):
        JobsClient(url)
