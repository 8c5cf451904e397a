"""A sample to what the model computes on: patches, tokens and positions. On the CPU; safe from several threads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256

import numpy as np
import torch

from frame_ops.resize_normalize_patchify.op import resize_normalize_patchify
from frame_ops.resize_normalize_patchify.smart_resize import MERGE, PATCH, TEMPORAL_PATCH, grid_thw, smart_resize
from identity_reward_client.errors import InvalidMedia
from identity_reward_client.frame_sampling import PixelRule

from ..config import RewardModelConfig
from ..types import Sample, Video
from .patches import ReferencePatches
from .positions import Span, position_ids
from .prompt import TokenLayout, token_layout
from .runner.sequence import Clip, TokenSequence
from .tokenizer import TextTokenizer

Grid = tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class Medium:
    """A picture or a video on its way into a sequence. `patches` and `key` as in `Clip`."""

    grid: Grid
    patches: torch.Tensor
    key: str | None
    # of a video: seconds in one temporal patch
    second_per_grid: float | None = None


class Preprocessor:
    """`patch_later`: clips carry uint8 frames, which `patches.packed_patches` turns into patches where the model is."""

    def __init__(self, config: RewardModelConfig, tokenizer: TextTokenizer, patch_later: bool = False):
        self.config = config
        self.tokenizer = tokenizer
        self.patch_later = patch_later
        self._tokens_per_second = float(config.backbone["vision_config"]["tokens_per_second"])
        self._references = ReferencePatches()
        self._salt = repr(config.reference_pixels).encode()

    def __call__(self, sample: Sample) -> TokenSequence:
        pictures = [
            self.reference(image, content, f"reference picture {number}")
            for number, (image, content) in enumerate(
                zip(sample.references.images, sample.references.keys, strict=True), 1
            )
        ]
        return self.assemble(pictures, self.video(sample.video), sample.prompt)

    def reference(self, image: np.ndarray, content: str, what: str) -> Medium:
        """`image`: [H, W, 3] uint8; `content`: its hash; `what`: how errors call it."""
        frames, grid = _frames(image[None], self.config.reference_pixels, what)
        key = sha256(self._salt + content.encode()).hexdigest()
        return Medium(grid, self._references.get(key, partial(self._patches, frames, grid, True)), key)

    def video(self, video: Video) -> Medium:
        frames, grid = _frames(video.frames_THWC, self.config.frame_pixels, "the video")
        return Medium(grid, self._patches(frames, grid, False), None, self.second_per_grid(video))

    @staticmethod
    def second_per_grid(video: Video) -> float:
        """As transformers computes it: the rate of the sampled frames first."""
        sampled_fps = len(video.frames_THWC) / video.num_source_frames * video.fps
        return TEMPORAL_PATCH / sampled_fps

    def assemble(self, references: Sequence[Medium], video: Medium, prompt: str | None) -> TokenSequence:
        """The sequence of a sample whose media are prepared."""
        counts = [_tokens(medium.grid) for medium in references]
        layout = token_layout(self.config.template, self.tokenizer, counts, _tokens(video.grid), prompt)
        return self._sequence(layout, references, video)

    def _patches(self, frames: torch.Tensor, grid: Grid, reference: bool) -> torch.Tensor:
        if self.patch_later:
            return frames
        rule = self.config.reference_pixels if reference else self.config.frame_pixels
        return resize_normalize_patchify([frames], [(grid[1] * PATCH, grid[2] * PATCH)], rule.resize)

    def _sequence(self, layout: TokenLayout, references: Sequence[Medium], video: Medium) -> TokenSequence:
        remaining = iter(references)
        clips, spans, at = [], [], 0
        for run in layout.runs:
            if run.kind == "text":
                spans.append(Span(len(run.ids)))
            else:
                medium = next(remaining) if run.kind == "reference" else video
                grid = medium.grid
                clips.append(Clip(grid, medium.patches, at, medium.key))
                merged = grid[0], grid[1] // MERGE, grid[2] // MERGE
                spans.append(Span(len(run.ids), merged, medium.second_per_grid))
            at += len(run.ids)
        ids = np.fromiter((i for run in layout.runs for i in run.ids), np.int64, at)
        positions = position_ids(spans, self._tokens_per_second, self.config.position_dialect)
        return TokenSequence(ids, positions, tuple(clips), layout.reward_indices)


def _frames(frames_THWC: np.ndarray, rule: PixelRule, what: str) -> tuple[torch.Tensor, Grid]:
    """Frames as a tensor over the same memory, and their grid of patches."""
    if frames_THWC.dtype != np.uint8 or frames_THWC.ndim != 4 or frames_THWC.shape[-1] != 3:
        raise InvalidMedia(f"{what} has pixels {frames_THWC.dtype} {frames_THWC.shape}; uint8 RGB is needed")
    try:
        _, height, width, _ = frames_THWC.shape
        size = smart_resize(height, width, rule.min_pixels, rule.max_pixels, rule.clamp_thin)
    except ValueError as error:
        raise InvalidMedia(f"{what} can't be resized: {error}") from None
    # torch warns of read-only memory, which decoders and wire buffers hand out
    frames = torch.from_numpy(frames_THWC if frames_THWC.flags.writeable else frames_THWC.copy())
    return frames, grid_thw(len(frames), *size)


def _tokens(grid: Grid) -> int:
    return grid[0] * grid[1] * grid[2] // MERGE**2
