"""A real HTTP server that speaks the wire, scores with the fake client's rule, and misbehaves when told to."""

import asyncio
import json
import threading
import time
from collections import deque
from types import SimpleNamespace

import numpy as np
import pytest
import uvicorn
from hypothesis import settings
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from identity_reward_client import messages
from identity_reward_client.errors import RewardError
from identity_reward_client.fake import FakeRewardClient
from identity_reward_client.wire import raw_body
from identity_reward_client.wire.error_bodies import to_body

# a busy machine is no failure of a property
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


class Wire:
    """`requests` holds what came in; `script` what to answer instead, next request first (None: the true answer)."""

    def __init__(self):
        self.fake = FakeRewardClient()
        self.requests = []
        self.script = deque()
        self.delay_s = 0.0
        self.active = self.most_active = 0

    async def answer(self, request: Request) -> Response:
        self.active += 1
        self.most_active = max(self.most_active, self.active)
        try:
            body = await request.body()
            path = request.url.path
            self.requests.append(SimpleNamespace(method=request.method, path=path, headers=request.headers, body=body))
            scripted = self.script.popleft() if self.script else None
            if isinstance(scripted, Response):
                return scripted
            if isinstance(scripted, RewardError):
                raise scripted
            if self.delay_s and path != "/v1/models":
                await asyncio.sleep(self.delay_s)
            return Response((await self.true_answer(path, body)).model_dump_json(), media_type="application/json")
        except RewardError as error:
            headers = {} if error.retry_after_s is None else {"Retry-After": f"{error.retry_after_s:g}"}
            text = messages.ErrorResponse(error=to_body(error)).model_dump_json()
            return Response(text, error.http_status, headers, "application/json")
        finally:
            self.active -= 1

    async def true_answer(self, path: str, body: bytes):
        if path == "/v1/models":
            return messages.ModelList(models=await self.fake.models())
        if path == "/v1/reference-sets":
            images = messages.ReferenceSet.model_validate_json(body).images
            return messages.ReferenceSetResponse(id=await self.fake.put_references(images), num_references=len(images))
        if path == "/v1/score":
            asked = messages.ScoreRequest.model_validate_json(body)
            return await self.fake.score(asked.references, asked.video, **self.options(asked))
        if path == "/v1/compare":
            asked = messages.CompareRequest.model_validate_json(body)
            videos = asked.video_a, asked.video_b
            return await self.fake.compare(asked.references, *videos, theta=asked.theta, **self.options(asked))
        raw = path.endswith(":raw")
        asked = raw_body.decode(body) if raw else messages.GroupRequest.model_validate_json(body)
        extra = {"matrices": asked.matrices, "theta": asked.theta}
        return await self.fake.score_group(asked.references, asked.videos, **extra, **self.options(asked))

    @staticmethod
    def options(asked):
        return {"prompt": asked.prompt, "model": asked.model, "details": asked.details}

    def paths(self):
        return [request.path for request in self.requests]

    def metadata(self, number=-1):
        """The safetensors header of a raw request."""
        body = self.requests[number].body
        return json.loads(body[8 : 8 + int.from_bytes(body[:8], "little")])


@pytest.fixture(scope="session")
def served():
    """The one server of the session; `served.wire` answers."""
    served = SimpleNamespace(wire=None)

    async def answer(request: Request) -> Response:
        return await served.wire.answer(request)

    app = Starlette(routes=[Route("/{path:path}", answer, methods=["GET", "POST", "PUT"])])
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 20
    while not server.started:
        assert time.monotonic() < deadline, "the test's server did not start"
        time.sleep(0.01)
    host, port = server.servers[0].sockets[0].getsockname()
    served.url = f"http://{host}:{port}"
    yield served
    server.should_exit = True
    thread.join(10)


@pytest.fixture
def wire(served):
    served.wire = Wire()
    served.wire.url = served.url
    return served.wire


@pytest.fixture
def clip():
    """33 frames of 24 x 40, frame t has grey level t."""
    return np.broadcast_to(np.arange(33, dtype=np.uint8)[:, None, None, None], (33, 24, 40, 3)).copy()


@pytest.fixture
def picture():
    return np.full((20, 16, 3), 7, dtype=np.uint8)


@pytest.fixture
def files(tmp_path):
    """Two references and three videos by name; to the test's server their bytes are all that matters."""
    for name in ("a.jpg", "b.jpg", "one.mp4", "two.mp4", "three.mp4"):
        (tmp_path / name).write_bytes(f"bytes of {name}".encode())
    return tmp_path
