"""A server that is easily overloaded, callers that overload it, and a kill -9 with a restart on the same port."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable

import httpx
import numpy as np

from identity_reward_client.inputs.media import to_image, to_video
from identity_reward_client.messages import GroupRequest
from identity_reward_client.wire import raw_body
from reward_model.qwen.tiny import SAMPLING
from tests.support.server import ServeProcess
from tests.support.waiting import GENEROUS_S

GROUP_VIDEOS = 8


def easily_overloaded() -> dict[str, str]:
    """Settings of a server that three full groups fill, each of about 3,600 tokens."""
    return {
        "IDENTITY_REWARD_MAX_GROUP_VIDEOS": str(GROUP_VIDEOS),
        "IDENTITY_REWARD_MAX_WAITING_TOKENS": "12000",
        "IDENTITY_REWARD_RESULT_CACHE_ENTRIES": "0",
    }


def noise_clip(seed: int, frames: int = 6, size: int = 56) -> np.ndarray:
    """uint8 [T, size, size, 3] of random pixels, whose reward under `tiny` is its own."""
    random_ = np.random.default_rng(seed)
    low, high = sorted(random_.integers(0, 256, 2).tolist())
    return random_.integers(low, high + 1, (frames, size, size, 3), dtype=np.uint8)


class Crowd:
    """Callers that send full groups of large clips over and over, and ignore Retry-After.

    A trainer that obeys Retry-After still finds capacity: some is reserved for rollouts.
    """

    def __init__(self, url: str, callers: int = 6, pause_s: float = 0.05):
        self._pause_s = pause_s
        self._clips = np.stack([noise_clip(seed, frames=4, size=168) for seed in range(GROUP_VIDEOS)])
        self._references = [to_image(noise_clip(GROUP_VIDEOS)[0])]
        self._url = f"{url}/v1/groups:raw"
        # by HTTP status; 0: the connection failed
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
            caller.join(GENEROUS_S)

    def _body(self, number: int) -> bytes:
        """Clips that no caller sent before, until 256 bodies came: a cache of results does not help."""
        videos = [to_video(clip, 8, SAMPLING) for clip in self._clips ^ np.uint8(number % 256)]
        return raw_body.encode(GroupRequest(references=self._references, videos=videos))

    def _call(self, number: int) -> None:
        headers = {"Content-Type": raw_body.CONTENT_TYPE}
        with httpx.Client(timeout=GENEROUS_S, trust_env=False) as client:
            while not self._stop.is_set():
                number += len(self._callers)
                try:
                    status = client.post(self._url, content=self._body(number), headers=headers).status_code
                except httpx.HTTPError:
                    status = 0
                self.statuses[status] += 1
                self._stop.wait(random.uniform(0, self._pause_s))


class RestartableServer:
    """A `tiny` server on one port, which `kill` ends like a power failure and `start` brings back."""

    def __init__(self, serve: Callable[..., ServeProcess], environment: dict[str, str]):
        self._serve, self._environment = serve, environment
        self._server = serve("--model", "tiny", "--port", "0", environment=environment).wait_ready()
        self.url = self._server.url
        self.starts = 1

    def kill(self) -> None:
        self._server.kill()

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
    """Counts the statuses that a client gets, under its own retries; 0: the connection failed."""

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
