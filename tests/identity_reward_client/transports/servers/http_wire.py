"""An HTTP server with the API's messages that scores with the fake client, and fails as scripted."""

import asyncio
import json
from collections import deque
from types import SimpleNamespace

from starlette.requests import Request
from starlette.responses import Response

from identity_reward_client import messages
from identity_reward_client.errors import RewardError
from identity_reward_client.fake import FakeRewardClient
from identity_reward_client.wire import raw_body
from identity_reward_client.wire.error_bodies import to_body


class HttpWire:
    """`requests` holds the requests so far; `script` the next responses: None is that of the fake client."""

    def __init__(self) -> None:
        self.fake = FakeRewardClient()
        self.requests = []
        self.script = deque()
        self.delay_s = 0.0
        self.active = self.max_active = 0
        self.url = ""

    async def answer(self, request: Request) -> Response:
        self.active += 1
        self.max_active = max(self.max_active, self.active)
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
            request = messages.ScoreRequest.model_validate_json(body)
            return await self.fake.score(request.references, request.video, **self.options(request))
        if path == "/v1/compare":
            request = messages.CompareRequest.model_validate_json(body)
            videos = request.video_a, request.video_b
            return await self.fake.compare(request.references, *videos, theta=request.theta, **self.options(request))
        raw = path.endswith(":raw")
        request = raw_body.decode(body) if raw else messages.GroupRequest.model_validate_json(body)
        extra = {"matrices": request.matrices, "theta": request.theta}
        return await self.fake.score_group(request.references, request.videos, **extra, **self.options(request))

    @staticmethod
    def options(request):
        return {"prompt": request.prompt, "model": request.model, "details": request.details}

    def paths(self):
        return [request.path for request in self.requests]

    def metadata(self, number=-1):
        """The safetensors header of a raw request."""
        body = self.requests[number].body
        return json.loads(body[8 : 8 + int.from_bytes(body[:8], "little")])
