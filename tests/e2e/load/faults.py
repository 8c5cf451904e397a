"""A server that is easily overloaded, a crowd that overloads it, and a kill -9 with a restart on the same port."""

import random
import signal
import threading
import time
from collections import Counter

import httpx
import numpy as np

from identity_reward_client.inputs.media import to_image, to_video
from identity_reward_client.messages import GroupRequest
from identity_reward_client.wire import raw_body
from reward_model.qwen.tiny import SAMPLING
from tests.e2e.conftest import ServeProcess

GROUP_VIDEOS = 8


def easily_overloaded() -> dict[str, str]:
    """Settings of a server that three full groups fill, each of about 3,600 tokens."""
    return {
        "IDENTITY_REWARD_MAX_GROUP_VIDEOS": str(GROUP_VIDEOS),
        "IDENTITY_REWARD_MAX_WAITING_TOKENS": "12000",
        "IDENTITY_REWARD_RESULT_CACHE_ENTRIES": "0",
        "OMP_NUM_THREADS": "1",
    }


def noise(seed: int, frames: int = 6, size: int = 56) -> np.ndarray:
    """uint8 [T, size, size, 3], like no other: its reward under `tiny` is its own."""
    draw = np.random.default_rng(seed)
    low, high = sorted(draw.integers(0, 256, 2).tolist())
    return draw.integers(low, high + 1, (frames, size, size, 3), dtype=np.uint8)


class Crowd:
    """Callers that send full groups of large clips over and over, and take no notice of Retry-After.

    A trainer that waits as it is told finds room all the same: some is kept for rollouts.
    """

    def __init__(self, url: str, callers: int = 6, pause_s: float = 0.05):
        self._pause_s = pause_s
        self._clips = np.stack([noise(seed, frames=4, size=168) for seed in range(GROUP_VIDEOS)])
        self._references = [to_image(noise(GROUP_VIDEOS)[0])]
        self._url = f"{url}/v1/groups:raw"
        self.statuses: Counter[int] = Counter()
        self._stop = threading.Event()
        self._callers = [threading.Thread(target=self._call, args=(n,), daemon=True) for n in range(callers)]

    def __enter__(self) -> "Crowd":
        for caller in self._callers:
            caller.start()
        return self

    def __exit__(self, *_) -> None:
        self._stop.set()
        for caller in self._callers:
            caller.join(30)

    def _body(self, number: int) -> bytes:
        """Clips that no caller sent before, until 256 bodies came: a cache of results is no help."""
        videos = [to_video(clip, 8, SAMPLING) for clip in self._clips ^ np.uint8(number % 256)]
        return raw_body.encode(GroupRequest(references=self._references, videos=videos))

    def _call(self, number: int) -> None:
        kind = {"Content-Type": raw_body.CONTENT_TYPE}
        with httpx.Client(timeout=20, trust_env=False) as client:
            while not self._stop.is_set():
                number += len(self._callers)
                try:
                    status = client.post(self._url, content=self._body(number), headers=kind).status_code
                except httpx.HTTPError:
                    status = 0
                self.statuses[status] += 1
                self._stop.wait(random.uniform(0, self._pause_s))


class Restarting:
    """A `tiny` server on one port, which `kill` ends like a power failure and `start` brings back."""

    def __init__(self, serve, environment: dict[str, str]):
        self._serve, self._environment = serve, environment
        self._server: ServeProcess = serve("--model", "tiny", "--port", "0", environment=environment).wait_ready()
        self.url = self._server.url
        self.starts = 1

    def kill(self) -> None:
        for one in [*self._server.family, self._server.process]:
            one.send_signal(signal.SIGKILL)
        self._server.wait(20)

    def start(self) -> None:
        port = self.url.rsplit(":", 1)[1]
        self._server = self._serve("--model", "tiny", "--port", port, environment=self._environment).wait_ready()
        self.starts += 1

    def restart(self, away_s: float = 0.0) -> None:
        self.kill()
        time.sleep(away_s)
        self.start()

    def end(self) -> None:
        self._server.end()


class CountingTransport(httpx.AsyncHTTPTransport):
    """Counts what a client was answered, under its own retries; 0: the connection failed."""

    def __init__(self):
        super().__init__()
        self.statuses: Counter[int] = Counter()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        try:
            response = await super().handle_async_request(request)
        except httpx.TransportError:
            self.statuses[0] += 1
            raise
        self.statuses[response.status_code] += 1
        return response
