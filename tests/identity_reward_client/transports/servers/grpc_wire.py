"""A gRPC server with the API's messages that scores with the fake client, and fails as scripted."""

import asyncio
from collections import deque
from types import SimpleNamespace

import grpc
from grpc_status.rpc_status import to_status as to_grpc

from identity_reward_client.errors import (
    RewardError,
)
from identity_reward_client.fake import FakeRewardClient
from identity_reward_client.messages import GroupResponse, ModelList, ReferenceSetResponse
from identity_reward_client.proto.codec import read_request, to_bytes
from identity_reward_client.proto.methods import METHODS, SERVICE, event, read_chunk
from identity_reward_client.proto.status import to_status


class GrpcWire:
    """`requests` holds the calls so far; `script` the next answers, in which None is the answer of the fake client.

    A scripted answer is an error of the API, a bare (status, text), or a list of events: bytes, or an error at the end.
    """

    def __init__(self) -> None:
        self.fake = FakeRewardClient()
        self.requests = []
        self.script = deque()
        self.delay_s = 0.0
        self.cancelled = 0
        self.target = ""

    def handlers(self):
        handlers = {}
        for method in METHODS:
            for chunked in (False, True) if method.chunkable else (False,):
                kind = f"{'stream' if chunked else 'unary'}_{'stream' if method.streams else 'unary'}"
                make = getattr(grpc, f"{kind}_rpc_method_handler")
                handlers[method.name + ("Chunked" if chunked else "")] = make(self.behaviour(method, chunked))
        return grpc.method_handlers_generic_handler(SERVICE, handlers)

    def behaviour(self, method, chunked):
        async def events(incoming, context):
            body = b"".join([read_chunk(part) async for part in incoming]) if chunked else incoming
            request = read_request(method.request, body)
            metadata = dict(context.invocation_metadata())
            seen = SimpleNamespace(
                name=method.name, chunked=chunked, message=request, metadata=metadata, left_s=context.time_remaining()
            )
            self.requests.append(seen)
            scripted = self.script.popleft() if self.script else None
            if isinstance(scripted, tuple):
                await context.abort(*scripted)
            try:
                await asyncio.sleep(self.delay_s)
                for content in scripted if isinstance(scripted, list) else [scripted]:
                    if isinstance(content, RewardError):
                        raise content
                    if content is not None:
                        yield content
                if scripted is None:
                    answer = await self.true_answer(method.name, request)
                    for item in reversed(answer.items) if isinstance(answer, GroupResponse) else ():
                        yield event(item)
                    yield event(answer) if method.streams else to_bytes(answer)
            except RewardError as error:
                status = to_grpc(to_status(error))
                await context.abort(status.code, status.details, status.trailing_metadata)
            except (asyncio.CancelledError, GeneratorExit):
                self.cancelled += 1
                raise

        async def single(incoming, context):
            async for answer in events(incoming, context):
                return answer

        return events if method.streams else single

    async def true_answer(self, name, request):
        if name == "ListModels":
            return ModelList(models=await self.fake.models())
        if name == "PutReferenceSet":
            set_id = await self.fake.put_references(request.images)
            return ReferenceSetResponse(id=set_id, num_references=len(request.images))
        options = {"prompt": request.prompt, "model": request.model, "details": request.details}
        if name == "Score":
            return await self.fake.score(request.references, request.video, **options)
        if name == "Compare":
            return await self.fake.compare(
                request.references, request.video_a, request.video_b, theta=request.theta, **options
            )  # fmt: skip
        extra = {"matrices": request.matrices, "theta": request.theta}
        return await self.fake.score_group(request.references, request.videos, **extra, **options)

    def names(self):
        return [request.name for request in self.requests]
