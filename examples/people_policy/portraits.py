"""Portraits of random people with their codes, from which the policy learns identities."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from reward_model.faces.recognition.reader import bundled_reader

from .ground_truth import true_code
from .portrait_view import view_portrait
from .rendering import RenderPool, render_portraits, worker_renderer
from .scene import scene_seed


@dataclass(frozen=True, eq=False)
class PortraitSet:
    """N portraits: features [N, V] of `portrait_view` and true codes [N, C], both float32."""

    features_NV: np.ndarray
    codes_NC: np.ndarray

    def __len__(self) -> int:
        return len(self.codes_NC)

    def part(self, start: int, end: int) -> PortraitSet:
        return PortraitSet(self.features_NV[start:end], self.codes_NC[start:end])

    def save(self, path: Path) -> None:
        np.savez(path, features=self.features_NV, codes=self.codes_NC)

    @classmethod
    def load(cls, path: Path) -> PortraitSet:
        with np.load(path, allow_pickle=False) as file:
            return cls(file["features"], file["codes"])


def make_portraits(
    seed: int, count: int, workers: int = 2, on_portrait: Callable[[int], None] = lambda number: None, first: int = 0
) -> PortraitSet:
    """Portraits of `count` random people from number `first` on; the few without a detected face are left out."""
    pool = RenderPool(workers)
    views, codes = [], []
    try:
        for number, future in enumerate(pool.submit(_make_portrait, [(seed, first + n) for n in range(count)]), 1):
            view, code = future.result()
            if view is not None:
                views.append(view)
                codes.append(code)
            on_portrait(number)
    finally:
        pool.close()
    return PortraitSet(np.stack(views), np.stack(codes))


def _make_portrait(seed: int, index: int) -> tuple[np.ndarray | None, np.ndarray]:
    name = f"pretrain {seed} {index}"
    code = true_code(seed, name)
    [image_HWC] = render_portraits(worker_renderer(), scene_seed(name), code[None])
    return view_portrait(bundled_reader(), image_HWC), code
