"""Position ids of text, images and video for multimodal rotary embedding (time, height, width). Numpy only.

Two dialects, named by the transformers release that defined them, differ in the position at which text continues after
an image or video of t x h x w merged tokens that starts at position p:

`4.51`  the largest position on any axis, plus one
`5`     p + max(h, w), whatever the positions on the time axis
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..config import PositionDialect


@dataclass(frozen=True)
class Span:
    """A run of tokens: text (`grid` is None), an image or a video (`grid` = (t, h, w) in merged tokens)."""

    num_tokens: int
    grid: tuple[int, int, int] | None = None
    # seconds of video in one temporal patch; None for images
    second_per_grid: float | None = None


def position_ids(spans: Sequence[Span], tokens_per_second: float, dialect: PositionDialect) -> np.ndarray:
    """int64 [3, L], rows time, height, width. ValueError for an unknown dialect.

    `tokens_per_second` is the time axis' resolution, a constant of the model.
    """
    if dialect not in ("4.51", "5"):
        raise ValueError(f"position dialects are 4.51 and 5, got {dialect!r}")
    parts, position = [], 0
    for span in spans:
        if span.grid is None:
            parts.append(np.broadcast_to(np.arange(position, position + span.num_tokens), (3, span.num_tokens)))
            position += span.num_tokens
            continue
        part = position + _grid_positions(span.grid, span.second_per_grid, tokens_per_second, dialect)
        parts.append(part)
        position = int(part.max()) + 1 if dialect == "4.51" else position + max(span.grid[1:])
    return np.concatenate(parts, axis=1).astype(np.int64) if parts else np.zeros((3, 0), np.int64)


def _grid_positions(
    grid: tuple[int, int, int], second_per_grid: float | None, tokens_per_second: float, dialect: PositionDialect
) -> np.ndarray:
    t, h, w = grid
    steps = temporal_positions(t, second_per_grid, tokens_per_second, dialect)
    return np.stack(np.broadcast_arrays(
        steps[:, None, None], np.arange(h)[None, :, None], np.arange(w)[None, None, :]
    )).reshape(3, t * h * w)  # fmt: skip


def temporal_positions(
    num_steps: int, second_per_grid: float | None, tokens_per_second: float, dialect: PositionDialect
) -> np.ndarray:
    """int64 [num_steps]: float32 products truncated to integers, multiplied in the order of the dialect."""
    step = np.arange(num_steps, dtype=np.float32)
    if second_per_grid is None:
        return step.astype(np.int64) * (dialect == "5")
    seconds, rate = np.float32(second_per_grid), np.float32(tokens_per_second)
    return (step * seconds * rate if dialect == "4.51" else step * (rate * seconds)).astype(np.int64)
