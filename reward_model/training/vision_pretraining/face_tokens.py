"""Whose head every token of a rendered clip shows, and how the clip fails: what a language model is told of beside
preferences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from frame_ops.layout import FACTOR, PATCH, TEMPORAL_PATCH
from identity_reward_client.frame_sampling import FrameSampling
from reward_model.data.corruption_kinds import CORRUPTION_KINDS
from reward_model.data.records import PreferencePair
from reward_model.qwen.runner.windows import Grid

from .ground_truth import HeadTruth

# tokens that a head fills count more than those at its edge
SHARPNESS = 1.5


@dataclass(frozen=True, eq=False)
class KnownHeads:
    """Heads in one video of a sequence, legend: H heads in slices of two frames, T tokens of a slice, M modes."""

    shares_HT: np.ndarray  # float32, rows sum to 1: how much of each token is in the head
    slice_H: np.ndarray  # int64
    # int64: which of the sequence's pictures shows this very person, -1 where none does
    reference_H: np.ndarray
    # float32, in the order of CORRUPTION_KINDS: how severely the video fails the sequence's pictures, 0 for not at all
    severity_M: np.ndarray


class HeadFinder:
    """Heads of the clips of one data set, by the plan that they were drawn by."""

    def __init__(self, truth: HeadTruth, sampling: FrameSampling):
        self.truth, self.sampling = truth, sampling

    def __call__(
        self, pair: PreferencePair, video: str, grid: Grid, mirrored: bool, pictures: Sequence[int | None]
    ) -> KnownHeads:
        """`pictures`: for each picture of the sequence, which of the pair's references it is, None for a stranger's.

        Beside strangers' pictures `video` should be a good one: how others fail those isn't known.
        """
        scenario = self.truth.scenario(pair.cluster)
        frames = self.sampling.indices(self.truth.size.num_frames, pair.fps or self.truth.size.fps)
        modes = dict(self.truth.plan(scenario, Path(video).stem).severities)
        if None in pictures:
            modes["one-replaced" if any(one is not None for one in pictures) else "wrong-person"] = 1.0
        shares, slices, references = [], [], []
        for number in range(grid[0]):
            part = frames[number * TEMPORAL_PATCH : (number + 1) * TEMPORAL_PATCH]
            for head in self.truth.heads(scenario, Path(video).stem, part):
                shares.append(token_shares(head.box, (1, *grid[1:]), mirrored))
                slices.append(number)
                shown = head.reference is not None and head.reference in pictures
                references.append(pictures.index(head.reference) if shown else -1)
        tokens = grid[1] * grid[2] // 4
        return KnownHeads(
            np.stack(shares) if shares else np.zeros((0, tokens), np.float32),
            np.array(slices, np.int64),
            np.array(references, np.int64),
            np.array([modes.get(name, 0.0) for name in CORRUPTION_KINDS], np.float32),
        )


def token_shares(box: np.ndarray, grid: tuple[int, int, int], mirrored: bool) -> np.ndarray:
    """[T] float32 that sum to 1: how much of each merged token's square lies in the box (shares of the sides)."""
    rows, columns = grid[1] * PATCH // FACTOR, grid[2] * PATCH // FACTOR
    x0, y0, x1, y1 = box
    if mirrored:
        x0, x1 = 1 - x1, 1 - x0

    def covered(low: float, high: float, count: int) -> np.ndarray:
        edges = np.arange(count + 1)
        return np.clip(np.minimum(high * count, edges[1:]) - np.maximum(low * count, edges[:-1]), 0, None)

    inside = np.outer(covered(y0, y1, rows), covered(x0, x1, columns)) ** SHARPNESS + 1e-6
    return (inside / inside.sum()).astype(np.float32).ravel()
