"""The whole route table on a real engine."""

import asyncio
import json
import struct
from dataclasses import fields, replace

import httpx
import pytest

from identity_reward_client.messages import CompareRequest, GroupRequest, ReferenceSet, ScoreRequest
from identity_reward_client.wire import raw_body
from identity_reward_client.wire.job_messages import NDJSON
from service.auth.authenticator import Authenticator
from service.http.application import HttpApplication
from service.http.request import ApiRequest, Services
from service.http.routes import ROUTES, SCORE, openapi_document
from service.jobs.service import Jobs
from service.operations.drain import InFlight


def make_http(engine, jobs=None) -> httpx.AsyncClient:
    services = Services(engine.metrics, engine, jobs)
    application = HttpApplication(ROUTES, services, engine.settings, Authenticator(None), InFlight())
    return httpx.AsyncClient(transport=httpx.ASGITransport(application), base_url="http://test")


@pytest.fixture
async def http(engine):
    async with make_http(engine) as client:
        yield client


async def send(http, method, path, message) -> dict:
    content = message.model_dump_json(exclude_none=True)
    response = await http.request(method, path, content=content, headers={"Content-Type": "application/json"})
    assert response.status_code == 200, response.text
    return response.json()


async def test_scoring_routes_answer_the_engines_rewards(http, reference, video):
    references = [reference()]
    scored = await send(http, "POST", "/v1/score", ScoreRequest(references=references, video=video(102)))
    assert scored["reward"] == pytest.approx(0.4)
    pair = CompareRequest(references=references, video_a=video(102), video_b=video(51))
    assert (await send(http, "POST", "/v1/compare", pair))["verdict"] == "A"
    group = GroupRequest(references=references, videos=[video(51), video(102)])
    items = (await send(http, "POST", "/v1/groups", group))["items"]
    assert [item["scored"]["reward"] for item in items] == pytest.approx([0.2, 0.4])
    raw = await http.post(
        "/v1/groups:raw", content=raw_body.encode(group), headers={"Content-Type": raw_body.CONTENT_TYPE}
    )
    assert [item["scored"]["reward"] for item in raw.json()["items"]] == pytest.approx([0.2, 0.4])


async def test_a_stored_set_is_found_by_its_id(http, reference, video):
    identity = (await send(http, "PUT", "/v1/reference-sets", ReferenceSet(images=[reference()])))["id"]
    scored = await send(http, "POST", "/v1/score", ScoreRequest(references=identity, video=video(102)))
    assert scored["reward"] == pytest.approx(0.4)


async def test_models_are_listed_and_described(http):
    (model,) = (await http.get("/v1/models")).json()["models"]
    assert (await http.get(f"/v1/models/{model['name']}")).json() == model
    assert (await http.get("/v1/models/nope")).status_code == 404


async def test_the_server_is_ready_until_it_drains(http, engine):
    for path in ("/livez", "/readyz"):
        response = await http.get(path)
        assert (response.status_code, response.text) == (200, "\n")
    engine.begin_drain()
    assert (await http.get("/livez")).status_code == 200
    response = await http.get("/readyz")
    assert (response.status_code, response.json()["error"]["code"]) == (503, "not_ready")
    assert response.headers["retry-after"] == "5"


async def test_operators_and_readers_get_their_pages(http):
    assert "identity_reward_requests_total" in (await http.get("/metrics")).text
    assert (await http.get("/openapi.json")).json() == json.loads(json.dumps(openapi_document()))
    for path in ("/", "/docs"):
        page = await http.get(path)
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert "default-src 'none'" in page.headers["content-security-policy"]


async def test_a_job_is_kept_listed_scored_and_cancelled(make_engine, tmp_path, reference, video):
    engine = make_engine(jobs_path=tmp_path / "jobs.sqlite")
    jobs = await Jobs.open(engine.settings, engine, engine.metrics)
    line = ScoreRequest(references=[reference()], video=video(102)).model_dump_json(exclude_none=True)
    try:
        async with make_http(engine, jobs) as http:
            made = await http.post("/v1/jobs", content=line, headers={"Content-Type": NDJSON})
            assert made.status_code == 202, made.text
            path = f"/v1/jobs/{made.json()['id']}"
            assert [job["id"] for job in (await http.get("/v1/jobs?limit=1")).json()["jobs"]] == [made.json()["id"]]
            jobs.start()
            async with asyncio.timeout(60):
                state = None
                while state != "done":
                    state = (await http.get(path)).json()["state"]
                    await asyncio.sleep(0.01)
            results = await http.get(f"{path}/results?after=0&limit=5")
            assert results.headers["content-type"].startswith(NDJSON)
            assert json.loads(results.text)["scored"]["reward"] == pytest.approx(0.4)
            assert (await http.delete(path)).json()["state"] == "done"
            assert (await http.get(f"{path}/results?after=x")).json()["error"]["code"] == "invalid_request"
    finally:
        await jobs.close()


async def test_without_a_jobs_file_job_routes_say_so(http):
    for path in ("/v1/jobs", "/v1/jobs/x", "/v1/jobs/x/results"):
        response = await http.get(path)
        assert response.status_code == 404
        assert "jobs_path" in response.json()["error"]["message"]


async def test_a_raw_group_that_is_none_is_refused(http):
    for body in (b"", struct.pack("<Q", 2) + b"{}"):
        response = await http.post("/v1/groups:raw", content=body, headers={"Content-Type": raw_body.CONTENT_TYPE})
        assert (response.status_code, response.json()["error"]["code"]) == (400, "invalid_request")


async def test_a_client_that_disconnects_cancels_its_request(engine, reference, video):
    request = ScoreRequest(references=[reference()], video=video(102)).model_dump_json(exclude_none=True).encode()
    messages = iter([{"type": "http.request", "body": request}, {"type": "http.disconnect"}])
    cancelled, sent = [], []

    async def receive():
        return next(messages)

    async def send_message(message):
        sent.append(message)

    async def hang(request):
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    routes = [replace(SCORE, handler=hang)]
    application = HttpApplication(
        routes, Services(engine.metrics, engine), engine.settings, Authenticator(None), InFlight()
    )
    headers = [(b"content-length", b"%d" % len(request))]
    scope = {"type": "http", "method": "POST", "path": SCORE.path, "query_string": b"", "headers": headers}
    await asyncio.wait_for(application(scope, receive, send_message), 60)
    assert cancelled
    assert sent[0]["status"] == 499


def test_handlers_get_no_headers():
    assert {field.name for field in fields(ApiRequest)} == {"message", "call", "path_params", "query", "services"}
