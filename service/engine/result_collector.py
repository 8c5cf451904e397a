"""Results of one request, computed once for equal videos."""

from __future__ import annotations

from collections.abc import Callable, Hashable

from identity_reward_client.errors import RewardError
from identity_reward_client.messages import Video

from ..scheduling.item_result import ItemResult
from .resolved_request import ResolvedRequest
from .result_cache import ResultCache, ResultKey
from .served_model import ServedModel

# called with the position of a video in its request and its result
OnItem = Callable[[int, ItemResult], None]


class ResultCollector:
    """Distinct videos of a request by index, with their results so far.

    `on_item` is called once for every position of a video in the request. For one event loop.
    """

    def __init__(
        self, resolved: ResolvedRequest, model: ServedModel, cache: ResultCache, on_item: OnItem | None = None
    ):
        self._cache = cache
        self._on_item = on_item
        positions: dict[Hashable, list[int]] = {}
        for position, identity in enumerate(resolved.video_ids or range(len(resolved.videos))):
            positions.setdefault(identity, []).append(position)
        self._positions = list(positions.values())
        self._videos = [resolved.videos[first] for first, *_ in self._positions]
        self._keys: list[ResultKey] = []
        if resolved.reference_id is not None and cache.max_entries:
            info = model.scorer.info
            prompt = resolved.request.prompt if info.prompt_used else None
            self._keys = [
                ResultKey(info.fingerprint, resolved.reference_id, str(identity), prompt) for identity in positions
            ]
        self._results: dict[int, ItemResult] = {}

    @property
    def streams(self) -> bool:
        """Whether results are streamed one by one."""
        return self._on_item is not None

    def add_available(self) -> None:
        """Add the errors of videos that could not be read, and cached results."""
        for index, video in enumerate(self._videos):
            if isinstance(video, RewardError):
                self._record(index, ItemResult(error=video))
            elif self._keys and (cached := self._cache.get(self._keys[index])) is not None:
                self._record(index, cached)

    def add(self, index: int, result: ItemResult) -> None:
        """Record the result of a distinct video, unless it has one."""
        if index in self._results:
            return
        if self._keys and result.error is None:
            self._cache.put(self._keys[index], result)
        self._record(index, result)

    def _record(self, index: int, result: ItemResult) -> None:
        self._results[index] = result
        if self._on_item is not None:
            for position in self._positions[index]:
                self._on_item(position, result)

    def pending(self) -> dict[int, Video]:
        """Videos without a result, by index."""
        return {
            index: video
            for index, video in enumerate(self._videos)
            if index not in self._results and isinstance(video, Video)
        }

    def video_id(self, index: int) -> str | None:
        """Id by content of a distinct video; None where results aren't cached."""
        return self._keys[index].video if self._keys else None

    def in_order(self) -> list[ItemResult]:
        """One result per video of the request."""
        by_position = {
            position: self._results[i] for i, positions in enumerate(self._positions) for position in positions
        }
        return [by_position[position] for position in range(len(by_position))]
