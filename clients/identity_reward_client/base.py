"""What every client of the service is: one small protocol, and a blocking facade over any of them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import CancelledError
from os import PathLike
from typing import Any, Protocol, TypeVar, runtime_checkable

from .fps import Fps
from .messages import CompareResponse, GroupResponse, Image, ModelInfo, ScoreResponse, Video

# a path, an encoded file's bytes, pixels as a numpy array or torch tensor, or a ready message
ImageLike = str | PathLike | bytes | Image | Any
VideoLike = str | PathLike | bytes | Video | Any
# pictures in order, or the id that put_references answered
ReferencesLike = Sequence[ImageLike] | str
T = TypeVar("T")


@runtime_checkable
class RewardClient(Protocol):
    """Scores videos against reference pictures. Every failure is a `RewardError`, never a number.

    `fps` is needed for arrays and lists of pictures (it is never guessed) and overrides a file's own; "compat" is the
    rate that the model assumes for trainers that write one into every file (`FrameSampling.compat_fps`).
    Arrays are uint8 [T, H, W, 3] or [T, 3, H, W]; float ones need their range named: see `tensors.to_uint8_frames`.
    """

    async def score(
        self,
        references: ReferencesLike,
        video: VideoLike,
        *,
        fps: Fps | None = None,
        prompt: str | None = None,
        model: str | None = None,
        details: bool = False,
    ) -> ScoreResponse: ...

    async def compare(
        self,
        references: ReferencesLike,
        video_a: VideoLike,
        video_b: VideoLike,
        *,
        fps: Fps | None = None,
        prompt: str | None = None,
        model: str | None = None,
        theta: float | None = None,
        details: bool = False,
    ) -> CompareResponse: ...

    async def score_group(
        self,
        references: ReferencesLike,
        videos: Sequence[VideoLike],
        *,
        fps: Fps | None = None,
        prompt: str | None = None,
        model: str | None = None,
        matrices: bool = False,
        theta: float | None = None,
        details: bool = False,
    ) -> GroupResponse: ...

    async def put_references(self, references: Sequence[ImageLike]) -> str: ...

    async def models(self) -> list[ModelInfo]: ...

    async def close(self) -> None: ...


class SyncRewardClient:
    """Blocking calls on any RewardClient: it runs an event loop of its own in one background thread.

    Safe to call from several threads at once, and from code that already runs in an event loop's thread.
    """

    def __init__(self, client: RewardClient):
        self._client = client
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="identity-reward-client", daemon=True)
        self._closed = False
        self._closing = threading.Lock()
        self._thread.start()

    def _run(self, make: Callable[[], Coroutine[Any, Any, T]]) -> T:
        with self._closing:  # nothing gets onto the loop once close() has begun to empty it
            # a fork has the loop, but not its thread
            if self._closed or not self._thread.is_alive():
                raise RuntimeError("this client is closed")
            future = asyncio.run_coroutine_threadsafe(make(), self._loop)
        try:
            return future.result()
        except CancelledError:
            raise RuntimeError("this client was closed during the call") from None
        except BaseException:
            future.cancel()
            raise

    def score(self, references: ReferencesLike, video: VideoLike, **options) -> ScoreResponse:
        return self._run(lambda: self._client.score(references, video, **options))

    def compare(self, references: ReferencesLike, video_a: VideoLike, video_b: VideoLike, **options) -> CompareResponse:
        return self._run(lambda: self._client.compare(references, video_a, video_b, **options))

    def score_group(self, references: ReferencesLike, videos: Sequence[VideoLike], **options) -> GroupResponse:
        return self._run(lambda: self._client.score_group(references, videos, **options))

    def put_references(self, references: Sequence[ImageLike]) -> str:
        return self._run(lambda: self._client.put_references(references))

    def models(self) -> list[ModelInfo]:
        return self._run(lambda: self._client.models())

    def close(self) -> None:
        """Ends calls of other threads that are under way, with a RuntimeError there."""
        with self._closing:
            if self._closed or not self._thread.is_alive():
                return
            self._closed = True
        try:
            asyncio.run_coroutine_threadsafe(self._shut(), self._loop).result()
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    async def _shut(self) -> None:
        calls = asyncio.all_tasks() - {asyncio.current_task()}
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        await self._client.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()
