"""Price of a sample in tokens, from sizes alone: nothing has to be decoded."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from frame_ops.layout import FACTOR, TEMPORAL_PATCH
from frame_ops.resize_normalize_patchify.smart_resize import smart_resize
from identity_reward_client.frame_sampling import PixelRule

from ..config import PromptTemplate
from ..types import Price, Size
from .prompt import token_layout
from .tokenizer import TextTokenizer


def image_tokens(size: Size, rule: PixelRule) -> int:
    """Merged vision tokens of one image: 28x28 pixels each after resizing."""
    if size is None:
        return rule.max_pixels // FACTOR**2
    try:
        height, width = smart_resize(*size, rule.min_pixels, rule.max_pixels, rule.clamp_thin)
    except ValueError:  # too thin: preprocessing raises the error
        return 1
    return height * width // FACTOR**2


class SequencePricer:
    """Length of the token sequences that `Preprocessor` makes, split into the parts that the runner shares or not."""

    def __init__(
        self, template: PromptTemplate, tokenizer: TextTokenizer, frames: PixelRule, references: PixelRule
    ) -> None:
        self._template = template
        self._tokenizer = tokenizer
        self._frames = frames
        self._references = references
        kinds = [piece.kind for piece in template.pieces]
        self._shares_prefix = kinds.index("references") < kinds.index("video")
        self._text_tokens = cache(self._count_text)

    def __call__(self, references: Sequence[Size], num_frames: int, size: Size, prompt: str | None) -> Price:
        """The price of `num_frames` frames of `size` with these reference images; see `Scorer.price`."""
        reference_tokens = sum(image_tokens(reference, self._references) for reference in references)
        video_tokens = -(-num_frames // TEMPORAL_PATCH) * image_tokens(size, self._frames)
        text_tokens = self._text_tokens(len(references))
        if prompt and self._template.prompt_used:
            text_tokens += len(self._tokenizer.encode(prompt))
        if not self._shares_prefix:
            return Price(0, reference_tokens + video_tokens + text_tokens)
        return Price(reference_tokens, video_tokens + text_tokens)

    def _count_text(self, num_references: int) -> int:
        runs = token_layout(self._template, self._tokenizer, [0] * num_references, 0, None).runs
        return sum(len(run.ids) for run in runs)
