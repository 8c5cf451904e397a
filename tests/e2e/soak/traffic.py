"""Traffic of every kind against a server of the slow model: good calls on both transports, bad ones, and callers that
disconnect. Every answer is the right reward or a refusal that such a call may get; others are recorded as wrong."""

import asyncio
import json
import random
import socket
import time
from collections import Counter
from contextlib import suppress

import grpc
import httpx

from identity_reward_client.messages import GroupRequest
from identity_reward_client.proto import identity_reward_pb2 as pb2
from identity_reward_client.proto.identity_reward_pb2_grpc import RewardServiceStub
from identity_reward_client.wire import raw_body
from tests.e2e.grpc_calls import PATHS, chunked, group_request, score_request, status_and_error
from tests.e2e.hostile_inputs.files import PICKLE
from tests.support.grey_videos import grey_request, grey_video
from tests.support.media import b64

# an empty box behind an MP4: another file with the same frames, which no cache holds
EMPTY_BOX = b"\0\0\0\x08free"
PRIORITIES = ("rollout", "interactive", "bulk")
REFUSALS = {"overloaded", "deadline_exceeded"}
LEVELS = (10, 40)


class Traffic:
    """`outcomes` counts the answers by kind of call. `file` is a video file whose reward is `file_reward`."""

    def __init__(self, url: str, target: str, file: bytes, file_reward: float, seed: int = 0):
        self._url, self._target = url, target
        self._file, self._file_reward = file, file_reward
        self._random = random.Random(seed)
        self.outcomes: Counter[tuple[str, str]] = Counter()
        self.wrong: list[str] = []

    async def run(self, seconds: float, callers: int = 24) -> None:
        """Connections are made anew each time, and none is left."""
        ends_at = time.monotonic() + seconds
        async with (
            httpx.AsyncClient(base_url=self._url, timeout=20, trust_env=False) as self._http,
            grpc.aio.insecure_channel(self._target, [("grpc.use_local_subchannel_pool", 1)]) as self._channel,
        ):
            await asyncio.gather(*(self._call(ends_at) for _ in range(callers)))

    async def _call(self, ends_at: float) -> None:
        while time.monotonic() < ends_at:
            [call] = self._random.choices(list(CALLS), list(CALLS.values()))
            try:
                self.outcomes[call.__name__, await call(self)] += 1
            except Exception as error:
                self.wrong.append(f"{call.__name__}: {type(error).__name__} {error}"[:500])
            await asyncio.sleep(self._random.uniform(0, 0.2))

    @property
    def _stub(self) -> RewardServiceStub:
        return RewardServiceStub(self._channel)

    def _random_video(self) -> tuple[int, int]:
        """Level and nonce of a video."""
        return self._random.randint(*LEVELS), self._random.randrange(128)

    def _metadata(self) -> tuple[tuple[str, str], ...]:
        return (("x-priority", self._random.choice(PRIORITIES)),)

    async def http_score(self) -> str:
        level, nonce = self._random_video()
        return checked(
            await self._http.post("/v1/score", json=grey_request(level, nonce), headers=dict(self._metadata())), [level]
        )

    async def http_raw_group(self) -> str:
        levels = [self._random_video()[0] for _ in range(3)]
        body = {"references": grey_request(0)["references"], "videos": [grey_video(level) for level in levels]}
        content = raw_body.encode(GroupRequest.model_validate(body))
        headers = {"Content-Type": raw_body.CONTENT_TYPE}
        return checked(await self._http.post("/v1/groups:raw", content=content, headers=headers), levels)

    async def http_with_an_idempotency_key(self) -> str:
        number = self._random.randrange(40)
        key = {"Idempotency-Key": f"step-{number}"}
        return checked(await self._http.post("/v1/score", json=grey_request(10, number), headers=key), [10])

    async def http_file(self) -> str:
        body = grey_request(0) | {
            "video": {"data": b64(self._file + self._random.choice((b"", EMPTY_BOX, 2 * EMPTY_BOX)))}
        }
        answer = await self._http.post("/v1/score", json=body)
        return checked(answer, [self._file_reward], "invalid_media")  # its decoder may have been killed

    async def http_with_a_short_deadline(self) -> str:
        level, nonce = self._random_video()
        headers = {"X-Request-Timeout": "0.2"}
        return checked(await self._http.post("/v1/score", json=grey_request(level, nonce), headers=headers), [level])

    async def http_stored_references(self) -> str:
        pixels = {"shape": [8, 8, 3], "data": b64(self._random.randbytes(192))}
        put = await self._http.put("/v1/reference-sets", json={"images": [{"pixels": pixels}]})
        level, nonce = self._random_video()
        body = grey_request(level, nonce) | {"references": put.json()["id"]}
        return checked(await self._http.post("/v1/score", json=body), [level], "reference_set_not_found")

    async def http_bad_input(self) -> str:
        expected, content = self._random.choice(
            [
                ("invalid_request", b"{"),
                ("invalid_request", PICKLE),
                ("invalid_media", json.dumps(grey_request(1) | {"video": {"data": b64(PICKLE)}}).encode()),
                ("input_refused", json.dumps(grey_request(1) | {"video": {"path": "/etc/passwd"}}).encode()),
                ("model_not_found", json.dumps(grey_request(1) | {"model": "gpt"}).encode()),
            ]
        )
        answer = await self._http.post("/v1/score", content=content, headers={"Content-Type": "application/json"})
        code = checked(answer, [], expected)
        assert code in (expected, "overloaded"), code
        return code

    async def http_disconnects(self) -> str:
        """Half a body, or a whole one whose answer nobody reads; then a reset or a plain close."""
        body = json.dumps(grey_request(*self._random_video())).encode()
        head = "POST /v1/score HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        sent = body[: len(body) // self._random.choice((1, 2))]
        host, port = self._url.removeprefix("http://").split(":")
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + sent)
        await writer.drain()
        await asyncio.sleep(self._random.uniform(0, 0.1))
        if self._random.random() < 0.5:
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
        return "disconnected"

    async def grpc_score(self) -> str:
        level, nonce = self._random_video()
        return await called(lambda: self._stub.Score(score_request(level, nonce), metadata=self._metadata()), level)

    async def grpc_upload(self) -> str:
        level, nonce = self._random_video()
        return await called(
            lambda: self._stub.ScoreChunked(chunked(score_request(level, nonce).SerializeToString())), level
        )

    async def grpc_group(self) -> str:
        levels = [self._random_video()[0] for _ in range(3)]
        try:
            events = [event async for event in self._stub.ScoreGroup(group_request(*levels), timeout=20)]
        except grpc.aio.AioRpcError as error:
            return typed(error)
        assert sorted(event.item.index for event in events[:-1]) == [0, 1, 2]
        assert [item.scored.reward for item in events[-1].group.items] == levels
        return "right"

    async def grpc_bad_input(self) -> str:
        path = self._random.choice(PATHS)
        call = self._channel.stream_stream(path)(iter([b"\xff\xff"]), timeout=20)
        try:
            async for _ in call:
                raise AssertionError(f"{path} answered what is no request")
        except grpc.aio.AioRpcError as error:
            return typed(error, "invalid_request")
        raise AssertionError(f"{path} ended well")

    async def grpc_cancels(self) -> str:
        """In the middle of a stream of answers, or of an upload."""
        if self._random.random() < 0.5:
            call = self._stub.ScoreGroup(group_request(*range(30, 38)))
            with suppress(grpc.aio.AioRpcError):
                await call.read()
        else:
            call = self._stub.ScoreChunked(endless())
            await asyncio.sleep(self._random.uniform(0, 0.2))
        call.cancel()
        return "disconnected"

    async def grpc_hangs_up(self) -> str:
        """A connection of its own that ends under its call."""
        options = [("grpc.use_local_subchannel_pool", 1)]
        async with grpc.aio.insecure_channel(self._target, options) as channel:
            call = RewardServiceStub(channel).Score(score_request(*self._random_video()))
            await asyncio.sleep(self._random.uniform(0, 0.05))
        with suppress(grpc.aio.AioRpcError, asyncio.CancelledError):
            await call
        return "disconnected"


async def endless():
    while True:
        yield pb2.Chunk(data=bytes(1 << 10))
        await asyncio.sleep(0.05)


def checked(answer: httpx.Response, rewards: list[float], *also: str) -> str:
    """ "right", or the code of a refusal: `also` names those that this call may get besides the usual ones."""
    body = answer.json()
    if answer.status_code == 200:
        received = [item["scored"]["reward"] for item in body["items"]] if "items" in body else [body["reward"]]
        assert received == rewards, f"{received} and not {rewards}"
        return "right"
    code = body["error"]["code"]
    assert code in REFUSALS or code in also, f"{answer.status_code} {body}"
    if answer.status_code in (429, 503):
        assert int(answer.headers["Retry-After"]) >= 1
    return code


async def called(call, expected: float) -> str:
    try:
        reward = (await call()).reward
    except grpc.aio.AioRpcError as error:
        return typed(error)
    assert reward == expected, f"{reward} and not {expected}"
    return "right"


def typed(error: grpc.aio.AioRpcError, *also: str) -> str:
    _, details = status_and_error(error)
    assert details is not None, f"{error.code()} {error.details()}"
    assert details.code in REFUSALS or details.code in also, f"{details.code} {details.message}"
    if details.code == "overloaded":
        assert details.retry_after_s >= 1
    return details.code


# how often each is made, relative to the others
CALLS = {
    Traffic.http_score: 8, Traffic.http_raw_group: 4, Traffic.http_with_an_idempotency_key: 3, Traffic.http_file: 1,
    Traffic.http_with_a_short_deadline: 2, Traffic.http_stored_references: 2, Traffic.http_bad_input: 3,
    Traffic.http_disconnects: 3,
    Traffic.grpc_score: 8, Traffic.grpc_upload: 4, Traffic.grpc_group: 4, Traffic.grpc_bad_input: 3,
    Traffic.grpc_cancels: 3, Traffic.grpc_hangs_up: 1,
}  # fmt: skip
