"""Blocking calls of asynchronous clients: an event loop in a background thread, and the client that uses it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import CancelledError, Future
from typing import Any, Self, TypeVar, Unpack

from .base import CompareOptions, GroupOptions, ImageLike, ReferencesLike, RewardClient, ScoreOptions, VideoLike
from .messages import CompareResponse, GroupResponse, ModelInfo, ScoreResponse

T = TypeVar("T")
# seconds that cancelled coroutines have to end before the loop stops without them
CANCEL_S = 2.0


class BackgroundLoop:
    """An event loop in a daemon thread. Its methods may be called from any other thread.

    `owner` names the object that the loop belongs to in the text of a RuntimeError, "this client" for example.
    """

    def __init__(self, thread_name: str, owner: str) -> None:
        self._owner = owner
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=thread_name, daemon=True)
        self._closed = False
        # held while something is put on the loop, so that nothing follows the shutdown
        self._lock = threading.Lock()
        # results that other threads wait for
        self._futures: set[Future[Any]] = set()
        self._thread.start()

    @property
    def closed(self) -> bool:
        """True after `close`, and in a forked process, which has a copy of the loop but not its thread."""
        return self._closed or not self._thread.is_alive()

    def check_open(self) -> None:
        """RuntimeError if the loop is closed."""
        if self.closed:
            raise RuntimeError(f"{self._owner} is closed")

    def run(self, make: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run a coroutine on the loop and return its result. RuntimeError if the loop closes first."""
        with self._lock:
            self.check_open()
            future = asyncio.run_coroutine_threadsafe(make(), self._loop)
            self._futures.add(future)
        try:
            return future.result()
        except CancelledError:
            raise RuntimeError(f"{self._owner} was closed during the call") from None
        except BaseException:
            future.cancel()
            raise
        finally:
            self._futures.discard(future)

    def call_soon(self, function: Callable[[], object]) -> None:
        """Call `function` in the loop's thread, without waiting for it."""
        with self._lock:
            self.check_open()
            self._loop.call_soon_threadsafe(function)

    def close(self, finish: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Cancel everything on the loop, run `finish` on it and stop it. Later calls do nothing."""
        with self._lock:
            if self.closed:
                return
            self._closed = True
        try:
            asyncio.run_coroutine_threadsafe(self._shut_down(finish), self._loop).result()
        finally:
            for future in list(self._futures):  # of coroutines that ignore their cancellation
                future.cancel()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    async def _shut_down(self, finish: Callable[[], Coroutine[Any, Any, None]]) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=CANCEL_S)
        await finish()


class SyncRewardClient:
    """Blocking calls of any `RewardClient`, which it closes with itself.

    Safe to call from several threads at once, and from a thread whose own event loop is running. Arguments, options and
    errors are those of `RewardClient`.
    """

    def __init__(self, client: RewardClient) -> None:
        self._client = client
        self._loop = BackgroundLoop("identity-reward-client", "this client")

    def score(self, references: ReferencesLike, video: VideoLike, **options: Unpack[ScoreOptions]) -> ScoreResponse:
        """The reward of one video, see `RewardClient.score`."""
        return self._loop.run(lambda: self._client.score(references, video, **options))

    def compare(
        self, references: ReferencesLike, video_a: VideoLike, video_b: VideoLike, **options: Unpack[CompareOptions]
    ) -> CompareResponse:
        """Both rewards with the probabilities of each outcome, see `RewardClient.compare`."""
        return self._loop.run(lambda: self._client.compare(references, video_a, video_b, **options))

    def score_group(
        self, references: ReferencesLike, videos: Sequence[VideoLike], **options: Unpack[GroupOptions]
    ) -> GroupResponse:
        """One item per video, each with a reward or an error, see `RewardClient.score_group`."""
        return self._loop.run(lambda: self._client.score_group(references, videos, **options))

    def put_references(self, references: Sequence[ImageLike]) -> str:
        """Store reference images on the server and return their id, see `RewardClient.put_references`."""
        return self._loop.run(lambda: self._client.put_references(references))

    def models(self) -> list[ModelInfo]:
        """The models that the server has loaded."""
        return self._loop.run(self._client.models)

    def close(self) -> None:
        """Close the client. Calls of other threads that are under way raise RuntimeError."""
        self._loop.close(self._client.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
