"""A sample to what the model computes on: patches, tokens and positions. On the CPU; safe from several threads."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

import numpy as np
import torch

from frame_ops.resize_normalize_patchify.naive import resize_normalize_patchify
from frame_ops.resize_normalize_patchify.smart_resize import grid_thw, smart_resize
from identity_reward_client.frame_sampling import PixelRule

from .config import RewardModelConfig
from .errors import InvalidMedia
from .positions import Span, position_ids
from .runner.sequence import Clip, TokenSequence
from .text_tokenizer import TextTokenizer
from .types import Sample

TEMPORAL_PATCH = 2
MERGED_PATCHES = 4


class Preprocessor:
    def __init__(self, config: RewardModelConfig, tokenizer: TextTokenizer):
        self.config = config
        self.tokenizer = tokenizer
        self._tokens_per_second = float(config.backbone["vision_config"]["tokens_per_second"])
        rule = config.frame_sampling.reference_pixels
        self._reference_salt = f"{rule}:".encode()

    def __call__(self, sample: Sample) -> TokenSequence:
        sampling = self.config.frame_sampling
        video = sample.video
        references = [
            _patches(image[None], sampling.reference_pixels, f"reference picture {number}")
            for number, image in enumerate(sample.references.images, 1)
        ]
        frames, grid = _patches(video.frames_THWC, sampling.frame_pixels, "the video")
        layout = self.config.template.layout(
            self.tokenizer, [_tokens(grid) for _, grid in references], _tokens(grid), sample.prompt
        )
        # as transformers computes it: the rate of the sampled frames first
        sampled_fps = len(video.frames_THWC) / video.num_source_frames * video.fps
        media = iter([*zip(references, map(self._key, sample.references.keys), strict=True)])
        clips, spans, at = [], [], 0
        for run in layout.runs:
            if run.kind == "reference":
                (patches, run_grid), key = next(media)
                clips.append(Clip(run_grid, patches, at, key))
                spans.append(Span(len(run.ids), _merged(run_grid)))
            elif run.kind == "video":
                clips.append(Clip(grid, frames, at))
                spans.append(Span(len(run.ids), _merged(grid), TEMPORAL_PATCH / sampled_fps))
            else:
                spans.append(Span(len(run.ids)))
            at += len(run.ids)
        ids = np.fromiter((i for run in layout.runs for i in run.ids), np.int64, at)
        positions = position_ids(spans, self._tokens_per_second, self.config.position_dialect)
        return TokenSequence(ids, positions, tuple(clips), layout.reward_indices)

    def _key(self, content: str) -> str:
        return sha256(self._reference_salt + content.encode()).hexdigest()


def _patches(frames_THWC: np.ndarray, rule: PixelRule, what: str) -> tuple[torch.Tensor, tuple[int, int, int]]:
    if frames_THWC.dtype != np.uint8 or frames_THWC.ndim != 4 or frames_THWC.shape[-1] != 3:
        raise InvalidMedia(f"{what} has pixels {frames_THWC.dtype} {frames_THWC.shape}; uint8 RGB is needed")
    # decoders and wire buffers may be read-only; torch only reads here
    frames = torch.from_numpy(frames_THWC if frames_THWC.flags.writeable else frames_THWC.copy())
    try:
        size = smart_resize(*frames.shape[1:3], rule.min_pixels, rule.max_pixels, rule.clamp_thin)
        return resize_normalize_patchify(frames, *size, rule.resize), grid_thw(len(frames), *size)
    except ValueError as error:
        raise InvalidMedia(f"{what} can't be resized: {error}") from None


def _tokens(grid: Sequence[int]) -> int:
    return grid[0] * grid[1] * grid[2] // MERGED_PATCHES


def _merged(grid: tuple[int, int, int]) -> tuple[int, int, int]:
    return grid[0], grid[1] // 2, grid[2] // 2
