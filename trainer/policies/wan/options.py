"""Options that all Wan policies take: `policy.options` of a configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeVar

from pydantic import ValidationError

from reward_model.training.configs.base import Count, Positive, Section
from trainer.errors import PolicyError

Dtype = Literal["float32", "bfloat16"]
# of Wan's own configuration; Identity-GRPO's release has the same text
NEGATIVE_PROMPT = (
    "色调艳丽，过曝，静态，细节模糊不清，字幕，风格，作品，画作，画面，静止，整体发灰，最差质量，低质量，JPEG压缩残留，"
    "丑陋的，残缺的，多余的手指，画得不好的手部，画得不好的脸部，畸形的，毁容的，形态畸形的肢体，手指融合，"
    "静止不动的画面，杂乱的背景，三条腿，背景人很多，倒着走"
)


class WanOptions(Section):
    """The checkpoint, the size of the videos, data types and prompts."""

    # folder of the checkpoint in diffusers' layout, with transformer, vae, text_encoder, tokenizer and scheduler
    checkpoint: str
    # frames of a video, one more than a multiple of 4; paper
    num_frames: Count = 33
    # pixels, a multiple of 16; paper
    height: Count = 240
    # pixels, a multiple of 16; paper
    width: Count = 416
    # frames per second that the model was trained on
    fps: Positive = 16.0
    # of the base weights. Norms, time embedding and modulation stay in float32
    dtype: Dtype = "float32"
    # of the VAE, in encoding and decoding; release
    vae_dtype: Dtype = "float32"
    # of the text encoder and its embeddings; bfloat16 as published
    text_dtype: Dtype = "bfloat16"
    # tokens that a prompt is cut to and padded to
    max_text_tokens: Count = 512
    # folder in which prompt embeddings are kept for later runs
    prompt_cache: str = "runs/prompt-embeddings"
    # what guidance moves away from
    negative_prompt: str = NEGATIVE_PROMPT
    # backend of torch.compile for the transformer's blocks, as inductor; unset: not compiled
    compile_backend: str | None = None


Options = TypeVar("Options", bound=WanOptions)


def read_options(kind: type[Options], values: Mapping[str, Any]) -> Options:
    """Validated options. PolicyError that lists every option that is wrong."""
    try:
        return kind.model_validate(dict(values))
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in error.errors(include_url=False)
        )
        raise PolicyError(f"policy.options: {problems}; there are {', '.join(kind.model_fields)}") from None
