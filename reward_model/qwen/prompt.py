"""Prompt templates of Qwen2.5-VL reward models, and the token layout that a template produces.

Everything after the last reward token is cut: attention is causal, so it cannot influence the reward.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ..config import Piece, PromptTemplate
from .tokenizer import TextTokenizer

VISION_START, VISION_END, IMAGE_PAD, VIDEO_PAD = "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"
REWARD_TOKEN = "<|identity_reward|>"
SYSTEM = "You are a helpful assistant."

INSTRUCTION = (
    "\nThe pictures above show real people, one person in each. Judge whether the video shows the same people: compare "
    "every face in the video with the pictures, first its shape and features, then hair and skin; clothes count least. "
    "A person who is missing, changed or mixed up with another lowers the rating. Rating of identity: "
)


@dataclass(frozen=True)
class TokenRun:
    """Consecutive tokens of one kind: text, the placeholders of one reference image, or those of the video."""

    kind: Literal["text", "reference", "video"]
    ids: tuple[int, ...]


@dataclass(frozen=True)
class TokenLayout:
    """The tokens of one sample, in order."""

    runs: tuple[TokenRun, ...]
    # positions of the reward tokens, ascending; the last one ends the sequence
    reward_indices: tuple[int, ...]


def token_layout(
    template: PromptTemplate,
    tokenizer: TextTokenizer,
    reference_tokens: Sequence[int],
    video_tokens: int,
    prompt: str | None,
) -> TokenLayout:
    """The token runs of `template` for one sample.

    `reference_tokens` (one count for each image) and `video_tokens` count merged vision tokens, 28x28 pixels each.
    ValueError when a reward token precedes the images or the video.
    """
    writer = _Writer(tokenizer)
    for piece in template.pieces:
        match piece.kind:
            case "text":
                writer.text(piece.value)
            case "prompt":
                writer.text(prompt or "")
            case "special":
                writer.special(piece.value)
            case "reward":
                writer.reward(piece.value)
            case "references":
                for number, count in enumerate(reference_tokens, 1):
                    writer.vision("reference", IMAGE_PAD, count, f"Picture {number}: " * template.vision_ids)
            case "video":
                writer.vision("video", VIDEO_PAD, video_tokens, "Video 1: " * template.vision_ids)
    return writer.layout()


class _Writer:
    """Builds a TokenLayout. Adjacent texts are joined before they are tokenised, as in the whole conversation."""

    def __init__(self, tokenizer: TextTokenizer) -> None:
        self.tokenizer = tokenizer
        self.runs: list[TokenRun] = []
        self.pending_text = ""
        self.pending_ids: list[int] = []
        self.length = 0
        self.reward_indices: list[int] = []

    def text(self, text: str) -> None:
        self.pending_text += text

    def special(self, token: str) -> None:
        if self.pending_text:
            self.pending_ids += self.tokenizer.encode(self.pending_text)
            self.pending_text = ""
        self.pending_ids.append(self.tokenizer.special(token))

    def reward(self, token: str) -> None:
        self.special(token)
        self.reward_indices.append(self.length + len(self.pending_ids) - 1)

    def vision(self, kind: Literal["reference", "video"], pad: str, count: int, label: str) -> None:
        self.text(label)
        self.special(VISION_START)
        self._close_text_run()
        self.runs.append(TokenRun(kind, (self.tokenizer.special(pad),) * count))
        self.length += count
        self.special(VISION_END)

    def _close_text_run(self) -> None:
        self.runs.append(TokenRun("text", tuple(self.pending_ids)))
        self.length += len(self.pending_ids)
        self.pending_ids = []

    def layout(self) -> TokenLayout:
        end = self.reward_indices[-1] + 1 - self.length
        if end <= 0:
            raise ValueError("the reward token must come after the reference images and the video")
        del self.pending_ids[end:]
        self._close_text_run()
        return TokenLayout(tuple(self.runs), tuple(self.reward_indices))


def conversation(user: Sequence[Piece]) -> tuple[Piece, ...]:
    """Qwen's chat format: the system turn, one user turn of these pieces, and the start of the assistant's turn."""
    return (
        Piece("special", "<|im_start|>"), Piece("text", f"system\n{SYSTEM}"), Piece("special", "<|im_end|>"),
        Piece("text", "\n"), Piece("special", "<|im_start|>"), Piece("text", "user\n"), *user,
        Piece("special", "<|im_end|>"), Piece("text", "\n"), Piece("special", "<|im_start|>"),
        Piece("text", "assistant\n"),
    )  # fmt: skip


# For models trained here: everything that a group shares (references, instruction, prompt) precedes the video.
IDENTITY_FIRST = PromptTemplate(
    "identity-first",
    conversation([
        Piece("references"), Piece("text", "\nThe video was made for this description: "), Piece("prompt"),
        Piece("text", INSTRUCTION), Piece("video"), Piece("reward", REWARD_TOKEN),
    ]),
)  # fmt: skip
# The order of the released model with a text of our own: references, video, instruction; the prompt is not used.
VIDEO_FIRST = PromptTemplate(
    "video-first",
    conversation([Piece("references"), Piece("video"), Piece("text", INSTRUCTION), Piece("reward", REWARD_TOKEN)]),
)
