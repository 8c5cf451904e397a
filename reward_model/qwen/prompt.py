"""What stands around the pictures: a template of pieces, and the sequence of tokens that it makes.

Everything after the last reward token is cut: attention is causal, so it can't influence the reward.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from .tokenizer import TextTokenizer

PieceKind = Literal["text", "special", "references", "video", "prompt", "reward"]
VISION_START, VISION_END, IMAGE_PAD, VIDEO_PAD = "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"
REWARD_TOKEN = "<|identity_reward|>"
SYSTEM = "You are a helpful assistant."

INSTRUCTION = (
    "\nThe pictures above show real people, one person in each. Judge whether the video shows the same people: compare "
    "every face in the video with the pictures, first its shape and features, then hair and skin; clothes count least. "
    "A person who is missing, changed or mixed up with another lowers the rating. Rating of identity: "
)


@dataclass(frozen=True)
class Piece:
    """`value` is the text, or the name of the special or reward token; pictures, video and prompt fill their slots."""

    kind: PieceKind
    value: str = ""


@dataclass(frozen=True)
class TokenRun:
    """Tokens of one kind in a row: text, the placeholders of one reference, or those of the video."""

    kind: Literal["text", "reference", "video"]
    ids: tuple[int, ...]


@dataclass(frozen=True)
class TokenLayout:
    runs: tuple[TokenRun, ...]
    # positions of the reward tokens, ascending; the last one ends the sequence
    reward_indices: tuple[int, ...]


@dataclass(frozen=True)
class PromptTemplate:
    """A whole conversation. `vision_ids` names each picture in text ("Picture 1: ") as some chat templates do."""

    name: str
    pieces: tuple[Piece, ...]
    vision_ids: bool = False

    def __post_init__(self):
        kinds = [piece.kind for piece in self.pieces]
        if kinds.count("references") != 1 or kinds.count("video") != 1 or "reward" not in kinds:
            raise ValueError(f"template {self.name!r} needs references and video once, and a reward token; has {kinds}")

    @cached_property
    def prompt_used(self) -> bool:
        return any(piece.kind == "prompt" for piece in self.pieces)

    @cached_property
    def reward_tokens(self) -> tuple[str, ...]:
        return tuple(piece.value for piece in self.pieces if piece.kind == "reward")

    def layout(
        self, tokenizer: TextTokenizer, reference_tokens: Sequence[int], video_tokens: int, prompt: str | None
    ) -> TokenLayout:
        """`reference_tokens` and `video_tokens` count merged vision tokens."""
        writer = _Writer(tokenizer)
        for piece in self.pieces:
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
                        writer.medium("reference", IMAGE_PAD, count, f"Picture {number}: " * self.vision_ids)
                case "video":
                    writer.medium("video", VIDEO_PAD, video_tokens, "Video 1: " * self.vision_ids)
        return writer.done()

    def to_json(self) -> dict[str, Any]:
        pieces = [{piece.kind: piece.value} for piece in self.pieces]
        return {"name": self.name, "vision_ids": self.vision_ids, "pieces": pieces}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> PromptTemplate:
        pieces = tuple(Piece(kind, text) for piece in value["pieces"] for kind, text in piece.items())
        return cls(value["name"], pieces, value["vision_ids"])


class _Writer:
    """Joins neighbouring texts before they are tokenised, as tokenising the whole conversation would."""

    def __init__(self, tokenizer: TextTokenizer):
        self.tokenizer = tokenizer
        self.runs: list[TokenRun] = []
        self.pending_text = ""
        self.pending_ids: list[int] = []
        self.length = 0
        self.reward_indices: list[int] = []

    def text(self, text: str):
        self.pending_text += text

    def special(self, token: str):
        if self.pending_text:
            self.pending_ids += self.tokenizer.encode(self.pending_text)
            self.pending_text = ""
        self.pending_ids.append(self.tokenizer.special(token))

    def reward(self, token: str):
        self.special(token)
        self.reward_indices.append(self.length + len(self.pending_ids) - 1)

    def medium(self, kind, pad: str, count: int, label: str):
        self.text(label)
        self.special(VISION_START)
        self._close()
        self.runs.append(TokenRun(kind, (self.tokenizer.special(pad),) * count))
        self.length += count
        self.special(VISION_END)

    def _close(self):
        self.runs.append(TokenRun("text", tuple(self.pending_ids)))
        self.length += len(self.pending_ids)
        self.pending_ids = []

    def done(self) -> TokenLayout:
        end = self.reward_indices[-1] + 1 - self.length
        if end <= 0:
            raise ValueError("the reward token has to stand after the pictures and the video")
        del self.pending_ids[end:]
        self._close()
        return TokenLayout(tuple(self.runs), tuple(self.reward_indices))


def conversation(user: Sequence[Piece]) -> tuple[Piece, ...]:
    """Qwen's chat format around one user turn that ends in the assistant's."""
    return (
        Piece("special", "<|im_start|>"), Piece("text", f"system\n{SYSTEM}"), Piece("special", "<|im_end|>"),
        Piece("text", "\n"), Piece("special", "<|im_start|>"), Piece("text", "user\n"), *user,
        Piece("special", "<|im_end|>"), Piece("text", "\n"), Piece("special", "<|im_start|>"),
        Piece("text", "assistant\n"),
    )  # fmt: skip


# For models trained here: all that a group shares (pictures, instruction, prompt) stands before the video.
IDENTITY_FIRST = PromptTemplate(
    "identity-first",
    conversation([
        Piece("references"), Piece("text", "\nThe video was made for this description: "), Piece("prompt"),
        Piece("text", INSTRUCTION), Piece("video"), Piece("reward", REWARD_TOKEN),
    ]),
)  # fmt: skip
# The order of the released model, in our words: references, video, instruction; the prompt isn't looked at.
VIDEO_FIRST = PromptTemplate(
    "video-first",
    conversation([Piece("references"), Piece("video"), Piece("text", INSTRUCTION), Piece("reward", REWARD_TOKEN)]),
)
