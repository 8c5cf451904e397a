"""Slices of clips and their references as patches, with the share that every token has in every head.

A slice is the whole of two frames, or a square window of them with a head in it: heads alone are learned from in a
fraction of the time.

Legend: S slices (two frames each), R references, H heads in slices, T tokens of a picture after merging, C the code.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from frame_ops.layout import PATCH, TEMPORAL_PATCH
from frame_ops.resize_normalize_patchify.op import resize_normalize_patchify
from frame_ops.resize_normalize_patchify.smart_resize import smart_resize
from identity_reward_client.errors import RewardError
from identity_reward_client.frame_sampling import PixelRule
from reward_model.data.corruption_kinds import CORRUPTION_KINDS
from reward_model.data.records import resolve
from reward_model.qwen.preprocess import PreparedMedia, Preprocessor
from reward_model.qwen.runner.sequence import TokenSequence
from reward_model.qwen.runner.windows import Grid
from reward_model.types import Video

from ..errors import TrainingError
from ..preferences.groups import Pairs
from ..preferences.media import read_references, read_video
from .corruption import harm
from .face_tokens import KnownHeads, token_shares
from .ground_truth import HEAD_CODE_SIZE, Head, HeadTruth


@dataclass(frozen=True, eq=False)
class SliceView:
    """A slice as a language model is shown it, after the pictures of its cast in some order."""

    sequence: TokenSequence
    references: tuple[int, ...]  # numbers in the batch
    heads: KnownHeads


@dataclass(frozen=True, eq=False)
class HeadBatch:
    """patches: slices, then references, end to end. grids: [S + R, 3].

    slice_shares: [H, T of a slice], [0, 0] without slices; reference_shares: [R, T of a reference]; rows sum to 1.
    slice_of: [H].
    match: [H] the reference that shows the same person, -1 for none.
    views: of each slice.
    """

    patches: torch.Tensor
    grids: torch.Tensor
    slice_shares: torch.Tensor
    slice_of: torch.Tensor
    slice_codes: torch.Tensor
    match: torch.Tensor
    reference_shares: torch.Tensor
    reference_codes: torch.Tensor
    views: tuple[SliceView, ...]

    @property
    def num_slices(self) -> int:
        return len(self.grids) - len(self.reference_codes)

    def to(self, device: torch.device) -> HeadBatch:
        tensors: dict[str, Any] = {
            name: part.to(device) for name, part in vars(self).items() if isinstance(part, torch.Tensor)
        }
        return replace(self, **tensors)


class HeadLoader:
    def __init__(
        self,
        jsonl: Path,
        truth: HeadTruth,
        preprocess: Preprocessor,
        clips_per_cast: int,
        window: int | None = None,
        harmed: float = 0.0,
    ):
        """`window`: the side in pixels of what is cut out of a frame of the model's size; None for all of it.
        `harmed`: the share of windows that are harmed anew."""
        self.jsonl, self.truth, self.preprocess, self.clips_per_cast = jsonl, truth, preprocess, clips_per_cast
        self.window, self.harmed = window, harmed
        self.sampling = preprocess.config.frame_sampling

    def __call__(self, casts: Sequence[Pairs], rng: np.random.Generator) -> HeadBatch:
        """One slice of some clips of each cast, pictures mirrored by a coin each; there may be no slice at all, where
        none shows a head. TrainingError names the file that can't be read."""
        rule, reference_rule = self.sampling.frame_pixels, self.sampling.reference_pixels
        assert rule is not None
        assert reference_rule is not None
        slices, references = _Pictures(rule), _Pictures(reference_rule)
        match: list[int] = []
        views: list[SliceView] = []
        for cast in casts:
            scenario = self.truth.scenario(cast[0].cluster)
            first = len(references.frames)
            paths = [resolve(self.jsonl, reference.path) for reference in cast[0].references]
            with _named(self.jsonl, cast, ", ".join(reference.path for reference in cast[0].references)):
                pictures = read_references(paths, self.sampling).images
            for picture, head in zip(pictures, self.truth.portraits(scenario), strict=True):
                references.add(picture[None], (head,), rng)
            names = sorted({name for pair in cast for name in (pair.video_a, pair.video_b)})
            for number in rng.permutation(len(names))[: self.clips_per_cast].tolist():
                with _named(self.jsonl, cast, names[number]):
                    video = read_video(resolve(self.jsonl, names[number]), self.sampling, cast[0].fps)
                at = TEMPORAL_PATCH * int(rng.integers(len(video.frames_THWC) // TEMPORAL_PATCH))
                part = slice(at, at + TEMPORAL_PATCH)
                frames = video.frames_THWC[part]
                heads = self.truth.heads(scenario, Path(names[number]).stem, video.frame_indices[part])
                if heads and self.window is not None:
                    _require_model_size(frames, rule, names[number])
                    scale = self.truth.size.height / frames.shape[1]
                    frames, heads = cut_window(frames, heads, self.window, rng)
                    if rng.random() < self.harmed:
                        frames, heads = harm(frames, heads, scale, rng)
                if heads:
                    slices.add(frames, heads, rng)
                    match += [-1 if head.reference is None else first + head.reference for head in heads]
                    order = rng.permutation(len(pictures)).tolist()
                    shown = [first + number for number in order]
                    sequence = self._sequence(references.grids, shown, slices.grids[-1], video, cast[0].prompt)
                    known = KnownHeads(
                        np.stack(slices.shares[-len(heads) :]),
                        np.zeros(len(heads), np.int64),
                        np.array([-1 if h.reference is None else order.index(h.reference) for h in heads]),
                        # two frames don't show how a clip fails
                        np.full(len(CORRUPTION_KINDS), np.nan, np.float32),
                    )
                    views.append(SliceView(sequence, tuple(shown), known))
        return HeadBatch(
            torch.cat([part.patches() for part in (slices, references) if part.frames]),
            torch.tensor(slices.grids + references.grids),
            torch.from_numpy(np.stack(slices.shares) if slices.shares else np.zeros((0, 0), np.float32)),
            torch.tensor(slices.of, dtype=torch.int64),
            torch.from_numpy(np.stack(slices.codes) if slices.codes else np.zeros((0, HEAD_CODE_SIZE), np.float32)),
            torch.tensor(match, dtype=torch.int64),
            torch.from_numpy(np.stack(references.shares)),
            torch.from_numpy(np.stack(references.codes)),
            tuple(views),
        )

    def _sequence(
        self, grids: Sequence[Grid], shown: Sequence[int], slice_grid: Grid, video: Video, prompt: str
    ) -> TokenSequence:
        """Tokens and positions; its clips hold no patches."""
        nothing = torch.empty(0)
        pictures = [PreparedMedia(grids[number], nothing, str(number)) for number in shown]
        return self.preprocess.assemble(
            pictures, PreparedMedia(slice_grid, nothing, None, self.preprocess.second_per_grid(video)), prompt
        )


def cut_window(
    frames_THWC: np.ndarray, heads: Sequence[Head], side: int, rng: np.random.Generator
) -> tuple[np.ndarray, tuple[Head, ...]]:
    """A square around one of the heads, as far as the frame goes and off its centre by up to an eighth, and the heads
    whose middle it holds, their boxes in shares of its sides."""
    height, width = frames_THWC.shape[1:3]
    size = np.array([width, height] * 2, np.float32)
    around = heads[int(rng.integers(len(heads)))].box * size
    middle = (around[:2] + around[2:]) / 2 + side * rng.uniform(-1 / 8, 1 / 8, 2)
    cut = np.minimum(side, (width, height))
    x, y = np.clip(np.round(middle - cut / 2), 0, size[:2] - cut).astype(int).tolist()
    inside = []
    for head in heads:
        box = (head.box * size - np.array([x, y, x, y])) / np.tile(cut, 2)
        if (np.abs((box[:2] + box[2:]) / 2 - 0.5) <= 0.5).all():
            inside.append(replace(head, box=box.astype(np.float32)))
    return frames_THWC[:, y : y + cut[1], x : x + cut[0]], tuple(inside)


def _require_model_size(frames_THWC: np.ndarray, rule: PixelRule, name: str) -> None:
    height, width = frames_THWC.shape[1:3]
    seen = smart_resize(height, width, rule.min_pixels, rule.max_pixels)
    if (height, width) != seen:
        raise TrainingError(
            f"{name} has frames of {width}x{height}, which the model sees at {seen[1]}x{seen[0]}; windows are cut "
            "from frames of that size: make them with `identity-reward data people --frames packed`, or leave "
            "data.window out"
        )


@contextmanager
def _named(jsonl: Path, cast: Pairs, name: str) -> Iterator[None]:
    try:
        yield
    except (RewardError, OSError) as error:
        raise TrainingError(f"pair {cast[0].pair_id} of {jsonl}: {name}: {error}") from None


class _Pictures:
    def __init__(self, rule: PixelRule):
        self.rule = rule
        self.frames: list[torch.Tensor] = []
        self.grids: list[tuple[int, int, int]] = []
        self.shares: list[np.ndarray] = []
        self.codes: list[np.ndarray] = []
        self.of: list[int] = []

    def add(self, frames_THWC: np.ndarray, heads: Sequence[Head], rng: np.random.Generator) -> None:
        mirrored = bool(rng.random() < 0.5)
        _, height, width, _ = frames_THWC.shape
        height, width = smart_resize(height, width, self.rule.min_pixels, self.rule.max_pixels)
        self.grids.append((1, height // PATCH, width // PATCH))
        self.shares += [token_shares(head.box, self.grids[-1], mirrored) for head in heads]
        self.codes += [head.mirrored_code if mirrored else head.code for head in heads]
        self.of += [len(self.frames)] * len(heads)
        frames = frames_THWC[:, :, ::-1] if mirrored else frames_THWC
        self.frames.append(torch.from_numpy(np.ascontiguousarray(frames)))

    def patches(self) -> torch.Tensor:
        sizes = [(height * PATCH, width * PATCH) for _, height, width in self.grids]
        return resize_normalize_patchify(self.frames, sizes, self.rule.resize)
