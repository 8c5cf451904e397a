"""Batches of rendered faces: slices of clips and reference images as patches, with each token's share of each face.

A slice is two frames, whole or cut to a square window around a face; windows are a fraction of the work.

Legend: S slices, R references, F faces in slices, T tokens of an image after merging, C = FACE_CODE_SIZE.
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

from ..data.casts import Pairs
from ..data.media import read_references, read_video
from ..errors import TrainingError
from ..supervision.face_tokens import FaceTokens, token_shares
from ..supervision.ground_truth import FACE_CODE_SIZE, GroundTruth, RenderedFace
from .corruption import corrupt
from .windows import cut_window


@dataclass(frozen=True, eq=False)
class SliceView:
    """The sequence that a language model would read for a slice: the cast's references in some order, then the slice.

    references: indices of the batch's references, in that order.
    """

    sequence: TokenSequence
    references: tuple[int, ...]
    faces: FaceTokens


@dataclass(frozen=True, eq=False)
class FaceBatch:
    """Inputs and targets of one step.

    patches: of slices, then of references, end to end. grids: int64 [S + R, 3].
    slice_shares: float32 [F, T of a slice], [0, 0] without faces. reference_shares: float32 [R, T of a reference]. Rows
    sum to 1.
    slice_of: int64 [F]. slice_codes: float32 [F, C]. reference_codes: float32 [R, C].
    match: int64 [F], the reference that shows the same person, -1 for none.
    views: one for each slice.
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

    def to(self, device: torch.device) -> FaceBatch:
        """A copy with its tensors on `device`."""
        tensors: dict[str, Any] = {
            name: part.to(device) for name, part in vars(self).items() if isinstance(part, torch.Tensor)
        }
        return replace(self, **tensors)


class FaceBatchLoader:
    """Reads casts of one data set.

    `window` is the side in pixels of square windows in frames of the model's size; None for whole frames.
    `corrupted_share` is the share of windows that get a random corruption.
    """

    def __init__(
        self,
        jsonl: Path,
        truth: GroundTruth,
        preprocess: Preprocessor,
        clips_per_cast: int,
        window: int | None = None,
        corrupted_share: float = 0.0,
    ):
        self.jsonl, self.truth, self.preprocess, self.clips_per_cast = jsonl, truth, preprocess, clips_per_cast
        self.window, self.corrupted_share = window, corrupted_share
        self.sampling = preprocess.config.frame_sampling

    def __call__(self, casts: Sequence[Pairs], rng: np.random.Generator) -> FaceBatch:
        """One slice of up to `clips_per_cast` clips of each cast, each image mirrored with probability 1/2.

        Slices without a face are skipped, so that a batch may be empty. The TrainingError of an unreadable file names
        it.
        """
        rule, reference_rule = self.sampling.frame_pixels, self.sampling.reference_pixels
        assert rule is not None
        assert reference_rule is not None
        slices, references = _Images(rule), _Images(reference_rule)
        match: list[int] = []
        views: list[SliceView] = []
        for cast in casts:
            scenario = self.truth.scenario(cast[0].cluster)
            first = len(references.frames)
            paths = [resolve(self.jsonl, reference.path) for reference in cast[0].references]
            with _naming_file(self.jsonl, cast, ", ".join(reference.path for reference in cast[0].references)):
                images = read_references(paths, self.sampling).images
            for image, face in zip(images, self.truth.portraits(scenario), strict=True):
                references.add(image[None], (face,), rng)
            names = sorted({name for pair in cast for name in (pair.video_a, pair.video_b)})
            for number in rng.permutation(len(names))[: self.clips_per_cast].tolist():
                video, frames, faces = self._slice(cast, names[number], rule, rng)
                if not faces:
                    continue
                slices.add(frames, faces, rng)
                match += [-1 if face.reference is None else first + face.reference for face in faces]
                order = rng.permutation(len(images)).tolist()
                shown = [first + number for number in order]
                sequence = self._sequence(references.grids, shown, slices.grids[-1], video, cast[0].prompt)
                tokens = FaceTokens(
                    np.stack(slices.shares[-len(faces) :]),
                    np.zeros(len(faces), np.int64),
                    np.array([-1 if face.reference is None else order.index(face.reference) for face in faces]),
                    # two frames do not show every corruption of a clip
                    np.full(len(CORRUPTION_KINDS), np.nan, np.float32),
                )
                views.append(SliceView(sequence, tuple(shown), tokens))
        return FaceBatch(
            torch.cat([part.patches() for part in (slices, references) if part.frames]),
            torch.tensor(slices.grids + references.grids),
            torch.from_numpy(np.stack(slices.shares) if slices.shares else np.zeros((0, 0), np.float32)),
            torch.tensor(slices.of, dtype=torch.int64),
            torch.from_numpy(np.stack(slices.codes) if slices.codes else np.zeros((0, FACE_CODE_SIZE), np.float32)),
            torch.tensor(match, dtype=torch.int64),
            torch.from_numpy(np.stack(references.shares)),
            torch.from_numpy(np.stack(references.codes)),
            tuple(views),
        )

    def _slice(
        self, cast: Pairs, name: str, rule: PixelRule, rng: np.random.Generator
    ) -> tuple[Video, np.ndarray, tuple[RenderedFace, ...]]:
        """(the video, uint8 [2, H, W, 3] frames of a random slice or of a window in it, the faces that they show)."""
        scenario = self.truth.scenario(cast[0].cluster)
        with _naming_file(self.jsonl, cast, name):
            video = read_video(resolve(self.jsonl, name), self.sampling, cast[0].fps)
        at = TEMPORAL_PATCH * int(rng.integers(len(video.frames_THWC) // TEMPORAL_PATCH))
        part = slice(at, at + TEMPORAL_PATCH)
        frames = video.frames_THWC[part]
        faces = self.truth.faces(scenario, Path(name).stem, video.frame_indices[part])
        if faces and self.window is not None:
            _require_model_size(frames, rule, name)
            scale = self.truth.size.height / frames.shape[1]
            frames, faces = cut_window(frames, faces, self.window, rng)
            if rng.random() < self.corrupted_share:
                frames, faces = corrupt(frames, faces, scale, rng)
        return video, frames, faces

    def _sequence(
        self, grids: Sequence[Grid], shown: Sequence[int], slice_grid: Grid, video: Video, prompt: str
    ) -> TokenSequence:
        """Tokens and positions; the clips hold no patches."""
        empty = torch.empty(0)
        references = [PreparedMedia(grids[number], empty, str(number)) for number in shown]
        return self.preprocess.assemble(
            references, PreparedMedia(slice_grid, empty, None, self.preprocess.second_per_grid(video)), prompt
        )


def _require_model_size(frames_THWC: np.ndarray, rule: PixelRule, name: str) -> None:
    height, width = frames_THWC.shape[1:3]
    resized = smart_resize(height, width, rule.min_pixels, rule.max_pixels)
    if (height, width) != resized:
        raise TrainingError(
            f"{name} has frames of {width}x{height}, which the model sees at {resized[1]}x{resized[0]}; windows are "
            "cut from frames of that size: make them with `identity-reward data people --frames packed`, or leave "
            "data.window out"
        )


@contextmanager
def _naming_file(jsonl: Path, cast: Pairs, name: str) -> Iterator[None]:
    """Turns errors of reading the file `name` into a TrainingError that names it."""
    try:
        yield
    except (RewardError, OSError) as error:
        raise TrainingError(f"pair {cast[0].pair_id} of {jsonl}: {name}: {error}") from None


class _Images:
    """Images of one pixel rule, and the faces in them."""

    def __init__(self, rule: PixelRule):
        self.rule = rule
        self.frames: list[torch.Tensor] = []
        self.grids: list[Grid] = []
        self.shares: list[np.ndarray] = []
        self.codes: list[np.ndarray] = []
        # index of the image of each face
        self.of: list[int] = []

    def add(self, frames_THWC: np.ndarray, faces: Sequence[RenderedFace], rng: np.random.Generator) -> None:
        mirrored = bool(rng.random() < 0.5)
        _, height, width, _ = frames_THWC.shape
        height, width = smart_resize(height, width, self.rule.min_pixels, self.rule.max_pixels)
        self.grids.append((1, height // PATCH, width // PATCH))
        self.shares += [token_shares(face.box, self.grids[-1], mirrored) for face in faces]
        self.codes += [face.mirrored_code if mirrored else face.code for face in faces]
        self.of += [len(self.frames)] * len(faces)
        frames = frames_THWC[:, :, ::-1] if mirrored else frames_THWC
        self.frames.append(torch.from_numpy(np.ascontiguousarray(frames)))

    def patches(self) -> torch.Tensor:
        sizes = [(height * PATCH, width * PATCH) for _, height, width in self.grids]
        return resize_normalize_patchify(self.frames, sizes, self.rule.resize)
