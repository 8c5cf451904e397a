"""Face tokens: which video tokens show which person's face, and the corruptions of the clip, from ground truth."""

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

from .ground_truth import GroundTruth

# exponent on the covered share of a token: tokens inside a face weigh more than those at its edge
SHARPNESS = 1.5


@dataclass(frozen=True, eq=False)
class FaceTokens:
    """Faces of the video of one sequence. Legend: F faces in slices of two frames, T tokens of a slice, M corruptions.

    shares_FT: float32, the weight of each token in the face; rows sum to 1.
    slice_F: int64, index of the slice.
    reference_F: int64, index of the sequence's reference image that shows the same person, -1 for none.
    severity_M: float32, severity in [0, 1] of each corruption in the order of `CORRUPTION_KINDS`; NaN where unknown.
    """

    shares_FT: np.ndarray
    slice_F: np.ndarray
    reference_F: np.ndarray
    severity_M: np.ndarray


class FaceTokenFinder:
    """Face tokens of the clips of one data set."""

    def __init__(self, truth: GroundTruth, sampling: FrameSampling):
        self.truth, self.sampling = truth, sampling

    def __call__(
        self, pair: PreferencePair, video: str, grid: Grid, mirrored: bool, references: Sequence[int | None]
    ) -> FaceTokens:
        """Face tokens of a video of `pair` in a sequence.

        `references` gives for each reference image of the sequence the index of the pair's reference, None for an image
        of another person. With images of other people `video` must be a good one: its corruptions are then only that
        its people are replaced.
        """
        scenario = self.truth.scenario(pair.cluster)
        frames = self.sampling.indices(self.truth.size.num_frames, pair.fps or self.truth.size.fps)
        severity = dict(self.truth.plan(scenario, Path(video).stem).severities)
        if None in references:
            replaced_all = all(reference is None for reference in references)
            severity["wrong-person" if replaced_all else "one-replaced"] = 1.0
        shares, slices, matches = [], [], []
        for number in range(grid[0]):
            part = frames[number * TEMPORAL_PATCH : (number + 1) * TEMPORAL_PATCH]
            for face in self.truth.faces(scenario, Path(video).stem, part):
                shares.append(token_shares(face.box, (1, *grid[1:]), mirrored))
                slices.append(number)
                shown = face.reference is not None and face.reference in references
                matches.append(references.index(face.reference) if shown else -1)
        tokens = grid[1] * grid[2] // 4
        return FaceTokens(
            np.stack(shares) if shares else np.zeros((0, tokens), np.float32),
            np.array(slices, np.int64),
            np.array(matches, np.int64),
            np.array([severity.get(name, 0.0) for name in CORRUPTION_KINDS], np.float32),
        )


def token_shares(box: np.ndarray, grid: Grid, mirrored: bool) -> np.ndarray:
    """float32 [T] that sums to 1: each merged token's share of the box.

    `box` is x0, y0, x1, y1 in [0, 1] of the sides; `grid` is (1, rows, columns) of patches before merging.
    """
    rows, columns = grid[1] * PATCH // FACTOR, grid[2] * PATCH // FACTOR
    x0, y0, x1, y1 = box
    if mirrored:
        x0, x1 = 1 - x1, 1 - x0

    def covered(low: float, high: float, count: int) -> np.ndarray:
        edges = np.arange(count + 1)
        return np.clip(np.minimum(high * count, edges[1:]) - np.maximum(low * count, edges[:-1]), 0, None)

    inside = np.outer(covered(y0, y1, rows), covered(x0, x1, columns)) ** SHARPNESS + 1e-6
    return (inside / inside.sum()).astype(np.float32).ravel()
