"""Preprocessing of a sample into patches, tokens and positions. CPU work, safe to call from several threads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256

import numpy as np
import torch

from frame_ops.layout import MERGE, PATCH, TEMPORAL_PATCH
from frame_ops.resize_normalize_patchify.op import resize_normalize_patchify
from frame_ops.resize_normalize_patchify.smart_resize import grid_thw, smart_resize
from identity_reward_client.errors import InvalidMedia
from identity_reward_client.frame_sampling import PixelRule

from ..config import RewardModelConfig
from ..types import Sample, Video
from .patches import ReferencePatches
from .positions import Span, position_ids
from .prompt import TokenLayout, token_layout
from .runner.sequence import TokenSequence, VisionClip
from .runner.windows import Grid
from .tokenizer import TextTokenizer


@dataclass(frozen=True, eq=False)
class PreparedMedia:
    """An image or a video that has no place in a sequence yet. `grid`, `patches` and `key` as in `VisionClip`."""

    grid: Grid
    patches: torch.Tensor
    key: str | None
    # seconds in one temporal patch of a video; None for an image
    second_per_grid: float | None = None


class Preprocessor:
    """Makes the token sequence of a sample.

    With `patch_later` the sequence's clips carry uint8 frames, which `patches.packed_patches` turns into patches on the
    model's device.
    """

    def __init__(self, config: RewardModelConfig, tokenizer: TextTokenizer, patch_later: bool = False) -> None:
        self.config = config
        self.tokenizer = tokenizer
        self.patch_later = patch_later
        self._tokens_per_second = float(config.backbone["vision_config"]["tokens_per_second"])
        self._references = ReferencePatches()
        self._salt = repr(config.reference_pixels).encode()

    def __call__(self, sample: Sample) -> TokenSequence:
        """The sequence of a sample; InvalidMedia for pixels that cannot be resized."""
        references = [
            self.reference(image, content, f"reference image {number}")
            for number, (image, content) in enumerate(
                zip(sample.references.images, sample.references.keys, strict=True), 1
            )
        ]
        return self.assemble(references, self.video(sample.video), sample.prompt)

    def reference(self, image: np.ndarray, content: str, what: str) -> PreparedMedia:
        """`image`: uint8 [H, W, 3]; `content`: the hash of it; `what`: its name in errors."""
        frames, grid = _frames(image[None], self.config.reference_pixels, what)
        key = sha256(self._salt + content.encode()).hexdigest()
        return PreparedMedia(grid, self._references.get(key, partial(self._patches, frames, grid, True)), key)

    def video(self, video: Video) -> PreparedMedia:
        """The sampled frames of a video. They are not cached."""
        frames, grid = _frames(video.frames_THWC, self.config.frame_pixels, "the video")
        return PreparedMedia(grid, self._patches(frames, grid, False), None, self.second_per_grid(video))

    @staticmethod
    def second_per_grid(video: Video) -> float:
        """Seconds in one temporal patch, in the order of operations of transformers."""
        sampled_fps = len(video.frames_THWC) / video.num_source_frames * video.fps
        return TEMPORAL_PATCH / sampled_fps

    def assemble(self, references: Sequence[PreparedMedia], video: PreparedMedia, prompt: str | None) -> TokenSequence:
        """The sequence of a sample from its prepared media."""
        counts = [_tokens(medium.grid) for medium in references]
        layout = token_layout(self.config.template, self.tokenizer, counts, _tokens(video.grid), prompt)
        return self._sequence(layout, references, video)

    def _patches(self, frames: torch.Tensor, grid: Grid, reference: bool) -> torch.Tensor:
        if self.patch_later:
            return frames
        rule = self.config.reference_pixels if reference else self.config.frame_pixels
        return resize_normalize_patchify([frames], [(grid[1] * PATCH, grid[2] * PATCH)], rule.resize)

    def _sequence(
        self, layout: TokenLayout, references: Sequence[PreparedMedia], video: PreparedMedia
    ) -> TokenSequence:
        remaining = iter(references)
        clips, spans, start = [], [], 0
        for run in layout.runs:
            if run.kind == "text":
                spans.append(Span(len(run.ids)))
            else:
                medium = next(remaining) if run.kind == "reference" else video
                grid = medium.grid
                clips.append(VisionClip(grid, medium.patches, start, medium.key))
                merged = grid[0], grid[1] // MERGE, grid[2] // MERGE
                spans.append(Span(len(run.ids), merged, medium.second_per_grid))
            start += len(run.ids)
        ids = np.fromiter((i for run in layout.runs for i in run.ids), np.int64, start)
        positions = position_ids(spans, self._tokens_per_second, self.config.position_dialect)
        return TokenSequence(ids, positions, tuple(clips), layout.reward_indices)


def _frames(frames_THWC: np.ndarray, rule: PixelRule, what: str) -> tuple[torch.Tensor, Grid]:
    """(uint8 [T, H, W, 3] over the same memory where that is writable, the grid of patches after resizing)."""
    if frames_THWC.dtype != np.uint8 or frames_THWC.ndim != 4 or frames_THWC.shape[-1] != 3:
        raise InvalidMedia(f"{what} has pixels {frames_THWC.dtype} {frames_THWC.shape}; uint8 RGB is needed")
    try:
        _, height, width, _ = frames_THWC.shape
        size = smart_resize(height, width, rule.min_pixels, rule.max_pixels, rule.clamp_thin)
    except ValueError as error:
        raise InvalidMedia(f"{what} can't be resized: {error}") from None
    # torch warns of read-only memory, which decoders and request buffers return
    frames = torch.from_numpy(frames_THWC if frames_THWC.flags.writeable else frames_THWC.copy())
    return frames, grid_thw(len(frames), *size)


def _tokens(grid: Grid) -> int:
    return grid[0] * grid[1] * grid[2] // MERGE**2
