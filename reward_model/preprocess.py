"""A sample to what the model computes on: patches, tokens and positions. On the CPU; safe from several threads."""

from __future__ import annotations

from functools import partial
from hashlib import sha256

import numpy as np
import torch

from frame_ops.resize_normalize_patchify.op import resize_normalize_patchify
from frame_ops.resize_normalize_patchify.smart_resize import MERGE, PATCH, TEMPORAL_PATCH, grid_thw, smart_resize
from identity_reward_client.frame_sampling import PixelRule

from .config import RewardModelConfig
from .errors import InvalidMedia
from .patches import ReferencePatches
from .positions import Span, position_ids
from .prompt import TokenLayout
from .runner.sequence import Clip, TokenSequence
from .text_tokenizer import TextTokenizer
from .types import Sample

Grid = tuple[int, int, int]


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
        video = sample.video
        grids, patches, keys = [], [], []
        for number, (image, content) in enumerate(
            zip(sample.references.images, sample.references.keys, strict=True), 1
        ):
            frames, grid = _frames(image[None], self.config.reference_pixels, f"reference picture {number}")
            keys.append(sha256(self._salt + content.encode()).hexdigest())
            grids.append(grid)
            patches.append(self._references.get(keys[-1], partial(self._patches, frames, grid, True)))
        frames, grid = _frames(video.frames_THWC, self.config.frame_pixels, "the video")
        layout = self.config.template.layout(self.tokenizer, [_tokens(g) for g in grids], _tokens(grid), sample.prompt)
        # as transformers computes it: the rate of the sampled frames first
        sampled_fps = len(frames) / video.num_source_frames * video.fps
        media = [*zip(grids, patches, keys, strict=True), (grid, self._patches(frames, grid, False), None)]
        return self._sequence(layout, media, TEMPORAL_PATCH / sampled_fps)

    def _patches(self, frames: torch.Tensor, grid: Grid, reference: bool) -> torch.Tensor:
        if self.patch_later:
            return frames
        rule = self.config.reference_pixels if reference else self.config.frame_pixels
        return resize_normalize_patchify([frames], [(grid[1] * PATCH, grid[2] * PATCH)], rule.resize)

    def _sequence(self, layout: TokenLayout, media: list[tuple[Grid, torch.Tensor, str | None]], seconds: float):
        remaining = iter(media)
        clips, spans, at = [], [], 0
        for run in layout.runs:
            if run.kind == "text":
                spans.append(Span(len(run.ids)))
            else:
                grid, patches, key = next(remaining) if run.kind == "reference" else media[-1]
                clips.append(Clip(grid, patches, at, key))
                merged = grid[0], grid[1] // MERGE, grid[2] // MERGE
                spans.append(Span(len(run.ids), merged, seconds if run.kind == "video" else None))
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
