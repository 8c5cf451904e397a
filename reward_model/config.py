"""Configuration of a Qwen2.5-VL reward model: all that decides a score besides the weights. Stored as `config.json`."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from hashlib import sha256
from json import dumps
from typing import Any, Literal, cast

from identity_reward_client.frame_sampling import FrameSampling, PixelRule

FORMAT = 1

# How position ids continue after an image or a video, named by the transformers release that defined it; see
# `qwen/positions.py`.
PositionDialect = Literal["4.51", "5"]
PieceKind = Literal["text", "special", "references", "video", "prompt", "reward"]

# Frames and pixels of the released Identity-GRPO model as its code runs: it requests five frames and rounds to four.
IDENTITY_GRPO = FrameSampling(
    "identity-grpo", num_frames=5, frame_factor=2, compat_fps=10.0, reference_files="as-stored",
    frame_pixels=PixelRule(128 * 28 * 28, 832 * 480, "float", clamp_thin=True),
    reference_pixels=PixelRule(4 * 28 * 28, 832 * 480, "pillow", clamp_thin=True),
)  # fmt: skip
# The paper's (arXiv 2510.14256): two frames a second, at most ten as in the released code, about 832x480 pixels.
PAPER = replace(IDENTITY_GRPO, name="paper", num_frames=None, fps=2.0, min_frames=4, max_frames=10)
# For models trained here: the same frames; frames and references share one resize, which is bit-equal on every device.
UNIFORM_4 = FrameSampling(
    "uniform-4", num_frames=4, frame_factor=2,
    frame_pixels=PixelRule(128 * 28 * 28, 832 * 480), reference_pixels=PixelRule(4 * 28 * 28, 832 * 480),
)  # fmt: skip
FRAME_SAMPLINGS = {sampling.name: sampling for sampling in (IDENTITY_GRPO, PAPER, UNIFORM_4)}


@dataclass(frozen=True)
class Piece:
    """One part of a prompt template.

    `value` is the text of a "text" piece, or the name of a "special" or "reward" token. The other kinds are slots for
    the reference images, the video and the caller's prompt.
    """

    kind: PieceKind
    value: str = ""


@dataclass(frozen=True)
class PromptTemplate:
    """A whole conversation as pieces; `qwen/prompt.py` turns it into tokens.

    ValueError unless the pieces hold the references once, the video once, and at least one reward token.
    """

    name: str
    pieces: tuple[Piece, ...]
    # True: each image is named in the text ("Picture 1: "), as some chat templates do
    vision_ids: bool = False

    def __post_init__(self) -> None:
        kinds = [piece.kind for piece in self.pieces]
        if kinds.count("references") != 1 or kinds.count("video") != 1 or "reward" not in kinds:
            raise ValueError(f"template {self.name!r} needs references and video once, and a reward token; has {kinds}")

    @cached_property
    def prompt_used(self) -> bool:
        """Whether the caller's prompt influences the reward."""
        return any(piece.kind == "prompt" for piece in self.pieces)

    @cached_property
    def reward_tokens(self) -> tuple[str, ...]:
        """Names of the reward tokens, in the order of the model's outputs."""
        return tuple(piece.value for piece in self.pieces if piece.kind == "reward")

    def to_json(self) -> dict[str, Any]:
        """Its entry in `config.json`; a piece is an object of one key, its kind."""
        pieces = [{piece.kind: piece.value} for piece in self.pieces]
        return {"name": self.name, "vision_ids": self.vision_ids, "pieces": pieces}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> PromptTemplate:
        """The inverse of `to_json`; KeyError for a missing entry."""
        pieces = tuple(Piece(kind, text) for piece in value["pieces"] for kind, text in piece.items())
        return cls(value["name"], pieces, value["vision_ids"])


@dataclass(frozen=True)
class RewardModelConfig:
    """All that decides a score besides the weights, plus the names under which the model is listed.

    ValueError when outputs and reward tokens differ in number, or the frame sampling lacks a pixel rule.
    """

    name: str
    version: str
    # the kind of images the model was trained on: "photographs", "rendered people", "none"
    domain: str
    description: str
    # arguments of transformers' Qwen2_5_VLConfig
    backbone: dict[str, Any]
    template: PromptTemplate
    frame_sampling: FrameSampling
    # a model keeps the dialect it was trained with
    position_dialect: PositionDialect
    # names of the reward head's outputs, each read at its own reward token; the reward is their sum
    outputs: tuple[str, ...] = ("identity",)
    # (mean, std) of each output, mapped to (value - mean) / std, where a checkpoint states them
    normalization: tuple[tuple[float, float], ...] | None = None
    # Bradley-Terry-with-Ties probabilities are those of preference_scale * (r_A - r_B)
    preference_scale: float = 1.0
    max_references: int = 8
    # False: random weights; the numbers mean nothing
    meaningful: bool = True
    # SHA-256 of the weights file; set by checkpoint.save
    weights_sha256: str = ""

    def __post_init__(self) -> None:
        if len(self.outputs) != len(self.template.reward_tokens):
            raise ValueError(
                f"{len(self.outputs)} outputs need a reward token each; the template has {self.template.reward_tokens}"
            )
        if self.frame_sampling.frame_pixels is None or self.frame_sampling.reference_pixels is None:
            raise ValueError(
                f"frame sampling {self.frame_sampling.name!r} lacks the pixel rules of frames or references"
            )

    @property
    def frame_pixels(self) -> PixelRule:
        """How frames of videos are resized."""
        return cast(PixelRule, self.frame_sampling.frame_pixels)

    @property
    def reference_pixels(self) -> PixelRule:
        """How reference images are resized."""
        return cast(PixelRule, self.frame_sampling.reference_pixels)

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the weights' hash and every field that decides a score; names and descriptions are left out."""
        ignored = {"name", "version", "domain", "description", "max_references", "meaningful", "preference_scale"}
        deciding = {key: value for key, value in self.to_json().items() if key not in ignored}
        return sha256(dumps(deciding, sort_keys=True).encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """The content of `config.json`."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        values["template"] = self.template.to_json()
        values["frame_sampling"] = asdict(self.frame_sampling)
        return {"format": FORMAT, **values}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> RewardModelConfig:
        """The inverse of `to_json`. ValueError for another format or an unknown field; KeyError for a missing one."""
        values = dict(values)
        file_format = values.pop("format", None)
        if file_format != FORMAT:
            raise ValueError(f"config.json is of format {file_format!r}; this version reads format {FORMAT}")
        if unknown := set(values) - {field.name for field in fields(cls)}:
            raise ValueError(f"config.json has unknown fields: {', '.join(sorted(unknown))}")
        values["template"] = PromptTemplate.from_json(values["template"])
        sampling = dict(values["frame_sampling"])
        for key in ("frame_pixels", "reference_pixels"):
            sampling[key] = PixelRule(**sampling[key])
        values["frame_sampling"] = FrameSampling(**sampling)
        values["outputs"] = tuple(values["outputs"])
        if values.get("normalization") is not None:
            values["normalization"] = tuple(tuple(pair) for pair in values["normalization"])
        return cls(**values)
