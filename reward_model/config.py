"""What makes a reward model besides its weights. Stored as `config.json` beside them."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from hashlib import sha256
from json import dumps
from typing import Any, cast

from identity_reward_client.frame_sampling import FrameSampling, PixelRule

from .qwen.positions import PositionDialect
from .qwen.prompt import PromptTemplate

FORMAT = 1

# Frames and pixels of the released Identity-GRPO model as its code runs: five frames asked for, four by its rounding.
IDENTITY_GRPO = FrameSampling(
    "identity-grpo", num_frames=5, frame_factor=2, compat_fps=10.0, reference_files="as-stored",
    frame_pixels=PixelRule(128 * 28 * 28, 832 * 480, "float", clamp_thin=True),
    reference_pixels=PixelRule(4 * 28 * 28, 832 * 480, "pillow", clamp_thin=True),
)  # fmt: skip
# Those of the paper (arXiv 2510.14256): two frames a second, ten at most as in the released code, about 832x480 pixels.
PAPER = replace(IDENTITY_GRPO, name="paper", num_frames=None, fps=2.0, min_frames=4, max_frames=10)
# For models trained here: the same frames, and one resize for frames and references that every device repeats exactly.
UNIFORM_4 = FrameSampling(
    "uniform-4", num_frames=4, frame_factor=2,
    frame_pixels=PixelRule(128 * 28 * 28, 832 * 480), reference_pixels=PixelRule(4 * 28 * 28, 832 * 480),
)  # fmt: skip
FRAME_SAMPLINGS = {sampling.name: sampling for sampling in (IDENTITY_GRPO, PAPER, UNIFORM_4)}


@dataclass(frozen=True)
class RewardModelConfig:
    name: str
    version: str
    # what the model knows, in a word or two: "photographs", "rendered people", "none"
    domain: str
    description: str
    # arguments of transformers' Qwen2_5_VLConfig
    backbone: dict[str, Any]
    template: PromptTemplate
    frame_sampling: FrameSampling
    # how position ids go on after pictures; a model keeps the one it was trained with
    position_dialect: PositionDialect
    # names of the head's outputs, each read at its own reward token; the reward is their sum
    outputs: tuple[str, ...] = ("identity",)
    # an affine map of each output, (value - mean) / std, where a checkpoint states one
    normalization: tuple[tuple[float, float], ...] | None = None
    # Bradley-Terry-with-Ties probabilities are those of preference_scale * (r_A - r_B)
    preference_scale: float = 1.0
    max_references: int = 8
    # False: random weights; the numbers mean nothing
    meaningful: bool = True
    # of the file of weights; set by checkpoint.save
    weights_sha256: str = ""

    def __post_init__(self):
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
        return cast(PixelRule, self.frame_sampling.frame_pixels)

    @property
    def reference_pixels(self) -> PixelRule:
        return cast(PixelRule, self.frame_sampling.reference_pixels)

    @property
    def fingerprint(self) -> str:
        """sha256 over the weights' hash and all that decides a score; names and descriptions don't."""
        silent = {"name", "version", "domain", "description", "max_references", "meaningful", "preference_scale"}
        deciding = {key: value for key, value in self.to_json().items() if key not in silent}
        return sha256(dumps(deciding, sort_keys=True).encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        values["template"] = self.template.to_json()
        values["frame_sampling"] = asdict(self.frame_sampling)
        return {"format": FORMAT, **values}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> RewardModelConfig:
        values = dict(values)
        given = values.pop("format", None)
        if given != FORMAT:
            raise ValueError(f"config.json is of format {given!r}; this version reads format {FORMAT}")
        known = {field.name for field in fields(cls)}
        if unknown := set(values) - known:
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
