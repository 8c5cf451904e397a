"""Worker processes that render clips and portraits.

OpenGL and triton do not live in one process unless triton was imported first, and several frames are rendered at once.
So every worker has a renderer and no model.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from typing import TypeVar

import numpy as np

from reward_model.data.people.appearance.person_code import person_from_code
from reward_model.data.people.rendering.factory import open_renderer
from reward_model.data.people.scenes.renderer import Renderer
from reward_model.data.workers import interrupts_ignored, open_pool

from .scene import render_clip, sample_portraits

Result = TypeVar("Result")


class RenderPool:
    """Processes that start with the first task. Results do not depend on how many there are."""

    def __init__(self, workers: int):
        self.workers = workers
        self._pool: ProcessPoolExecutor | None = None

    def clips(self, seeds: Sequence[int], codes_BPKC: np.ndarray) -> list[np.ndarray]:
        """frames_THWC of each clip: scene seeds, and codes of the people at the key frames."""
        return [future.result() for future in self.submit(_render_clip, zip(seeds, codes_BPKC, strict=True))]

    def submit(
        self, work: Callable[..., Result], tasks: Sequence[tuple[object, ...]] | zip[tuple[object, ...]]
    ) -> list[Future[Result]]:
        """Runs `work(*task)` for every task; the renderer of the process is `worker_renderer()`."""
        if self._pool is None:
            self._pool = open_pool(self.workers, _start_worker)
        with interrupts_ignored():
            return [self._pool.submit(work, *task) for task in tasks]

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None


# of this worker process
_renderer: Renderer


def worker_renderer() -> Renderer:
    return _renderer


def _start_worker() -> None:
    global _renderer  # noqa: PLW0603  # concurrent.futures has no other place for a worker's state
    _renderer = open_renderer()


def _render_clip(seed: int, codes_PKC: np.ndarray) -> np.ndarray:
    return render_clip(_renderer, seed, codes_PKC)


def render_portraits(renderer: Renderer, seed: int, codes_PC: np.ndarray) -> list[np.ndarray]:
    """Reference images of people in the clothes of a scene: uint8 RGB [S, S, 3] each."""
    people = [person_from_code(code, "") for code in codes_PC]
    return [portrait.render(renderer) for portrait in sample_portraits(seed, people)]
