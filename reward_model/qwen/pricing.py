"""What a sample will cost a model, in tokens, told from sizes alone: before anything is decoded."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from frame_ops.resize_normalize_patchify.smart_resize import FACTOR, TEMPORAL_PATCH, smart_resize
from identity_reward_client.frame_sampling import PixelRule

from ..config import PromptTemplate
from ..types import Price, Size
from .prompt import token_layout
from .tokenizer import TextTokenizer


def picture_tokens(size: Size, rule: PixelRule) -> int:
    """Merged vision tokens of one picture: 28x28 pixels each after resizing."""
    if size is None:
        return rule.max_pixels // FACTOR**2
    try:
        height, width = smart_resize(*size, rule.min_pixels, rule.max_pixels, rule.clamp_thin)
    except ValueError:  # too thin: its preprocessing will say so
        return 1
    return height * width // FACTOR**2


class SequencePricer:
    """The length of the token sequences that `Preprocessor` makes, split as the runner shares them."""

    def __init__(self, template: PromptTemplate, tokenizer: TextTokenizer, frames: PixelRule, references: PixelRule):
        self._template = template
        self._tokenizer = tokenizer
        self._frames = frames
        self._references = references
        kinds = [piece.kind for piece in template.pieces]
        self._shares = kinds.index("references") < kinds.index("video")
        self._text = cache(self._count_text)

    def __call__(self, references: Sequence[Size], num_frames: int, size: Size, prompt: str | None) -> Price:
        pictures = sum(picture_tokens(one, self._references) for one in references)
        video = -(-num_frames // TEMPORAL_PATCH) * picture_tokens(size, self._frames)
        text = self._text(len(references))
        if prompt and self._template.prompt_used:
            text += len(self._tokenizer.encode(prompt))
        if not self._shares:
            return Price(0, pictures + video + text)
        return Price(pictures, video + text)

    def _count_text(self, num_references: int) -> int:
        runs = token_layout(self._template, self._tokenizer, [0] * num_references, 0, None).runs
        return sum(len(run.ids) for run in runs)
