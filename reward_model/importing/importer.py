"""Import of a released checkpoint into a reward model folder, in one pass over its tensors."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import torch

from identity_reward_client.frame_sampling import FrameSampling, PixelRule

from ..checkpoint import Progress, save
from ..config import FRAME_SAMPLINGS, IDENTITY_GRPO, PAPER, PositionDialect, RewardModelConfig
from ..folder import CheckpointError
from ..qwen.model import RewardModel
from ..qwen.tokenizer import TextTokenizer, load_tokenizer
from .body import body_arguments, refuse_other_bodies
from .layout import CheckpointLayout, open_base, read_json, read_layout
from .merge import locate, merged, vocabulary_rows
from .template import read_template

# limit of a video frame in the released code, whatever its settings say
_VIDEO_MAX_PIXELS = 768 * 28 * 28
_FRAMES, _REFERENCES = cast(PixelRule, IDENTITY_GRPO.frame_pixels), cast(PixelRule, IDENTITY_GRPO.reference_pixels)


def import_checkpoint(
    checkpoint: Path,
    upstream: Path,
    out: Path,
    base: Path | None = None,
    *,
    step: int | None = None,
    name: str = "identity-reward",
    sampling: str | None = None,
    position_dialect: PositionDialect = "4.51",
    vision_ids: bool = False,
    dtype: torch.dtype | None = None,
    progress: Progress | None = None,
) -> RewardModelConfig:
    """Writes `out` and returns its config. CheckpointError, one line long, for anything that does not fit.

    `base`: the model that a LoRA checkpoint was trained from (weights, config.json, tokenizer). `upstream`: a checkout
    of the released code, whose template is read. `sampling`: a name of FRAME_SAMPLINGS that replaces the settings' own.
    The defaults of `position_dialect` and `vision_ids` are what the release does when it runs. `dtype`: of the body on
    disk; None keeps exact values.
    """
    if out.exists():
        raise CheckpointError(f"{out} exists already; give a folder that doesn't, or remove it")
    layout = read_layout(checkpoint, step)
    model_settings, data_settings = layout.settings["model_config"], layout.settings["data_config"]
    _refuse_unsupported(layout, model_settings)
    if layout.is_lora and base is None:
        raise CheckpointError(f"{checkpoint} is a LoRA checkpoint: --base must name the model that it was trained from")
    template = read_template(
        upstream,
        data_settings.get("prompt_template_type", "none"),
        list(data_settings.get("eval_dim") or []),
        vision_ids,
    )
    outputs = tuple(token.removeprefix("<|").removesuffix("_reward|>") for token in template.reward_tokens)
    if len(outputs) != (dimensions := model_settings.get("output_dim")):
        raise CheckpointError(
            f"output_dim is {dimensions} and template {template.name!r} has {len(outputs)} reward tokens"
        )
    trained = locate(layout.weights)
    tokenizer = _tokenizer(layout, base)
    tokenizer.add_special(template.reward_tokens)
    num_rows = vocabulary_rows(trained)
    if (highest := max(tokenizer.special(token) for token in template.reward_tokens)) >= num_rows:
        raise CheckpointError(
            f"a reward token is number {highest} of the tokenizer and the embeddings have {num_rows} rows"
        )
    body = layout.body if layout.body is not None else read_json(_base_folder(base, "config.json") / "config.json")
    config = RewardModelConfig(
        name=name,
        version=f"step-{layout.step}",
        domain="photographs",
        description=f"Qwen2.5-VL reward model imported from an Identity-GRPO checkpoint, step {layout.step}.",
        backbone=body_arguments(body, num_rows, tokenizer),
        template=template,
        frame_sampling=FRAME_SAMPLINGS[sampling] if sampling else frame_sampling(data_settings),
        position_dialect=position_dialect,
        outputs=outputs,
        normalization=_normalization(layout.settings.get("inference_config"), outputs),
    )
    shapes = {name: tuple(tensor.shape) for name, tensor in RewardModel(config).state_dict().items()}
    scale, rank = _lora(layout.settings["peft_lora_config"])
    base_weights = locate([open_base(base)]) if layout.is_lora and base is not None else None
    tensors = merged(shapes, trained, base_weights, scale, rank, dtype)
    return save(out, config, tokenizer.to_json(), tensors, progress)


def frame_sampling(data: dict[str, Any]) -> FrameSampling:
    """The sampling of data_config: by `num_frames` where it is set, otherwise by `fps`.

    One that equals a member of FRAME_SAMPLINGS has its name. CheckpointError when neither is set.
    """
    frames, fps = data.get("num_frames"), data.get("fps")
    max_pixels = int(data.get("max_frame_pixels") or _REFERENCES.max_pixels)
    if frames is not None:
        if frames != int(frames):
            raise CheckpointError(f"num_frames is {frames} in model_config.json; whole numbers are read")
        sampling, name = replace(IDENTITY_GRPO, num_frames=int(frames)), f"identity-grpo-{int(frames)}-frames"
    elif fps:
        sampling, name = replace(PAPER, fps=float(fps)), f"identity-grpo-{fps:g}-fps"
    else:
        raise CheckpointError("model_config.json sets neither num_frames nor fps")
    sampling = replace(
        sampling,
        frame_pixels=replace(_FRAMES, max_pixels=min(max_pixels, _VIDEO_MAX_PIXELS)),
        reference_pixels=replace(_REFERENCES, max_pixels=max_pixels),
    )
    if sampling in FRAME_SAMPLINGS.values():
        return sampling
    return replace(sampling, name=name if max_pixels == _REFERENCES.max_pixels else f"{name}-{max_pixels}-pixels")


def _refuse_unsupported(layout: CheckpointLayout, model: dict[str, Any]) -> None:
    if "qwen2-vl" in str(model.get("model_name_or_path")).lower():
        refuse_other_bodies("qwen2-vl")
    keys = [key for file in layout.weights for key in file.shapes]
    if any(key.endswith("visual.blocks.0.mlp.fc1.weight") for key in keys):
        refuse_other_bodies("qwen2-vl")
    if not (model.get("use_special_tokens") or model.get("reward_token") == "special"):
        raise CheckpointError(f"rewards are pooled by {model.get('reward_token')!r}; only reward tokens are read")
    if model.get("load_in_8bit") or model.get("load_in_4bit"):
        raise CheckpointError("the checkpoint was trained on a quantised body, which isn't supported")


def _tokenizer(layout: CheckpointLayout, base: Path | None) -> TextTokenizer:
    folder = layout.tokenizer or _base_folder(base, "tokenizer")
    try:
        return load_tokenizer(folder)
    except FileNotFoundError as error:
        raise CheckpointError(str(error)) from None


def _base_folder(base: Path | None, file: str) -> Path:
    """The folder of the base model, which must provide what the checkpoint lacks."""
    if base is None:
        raise CheckpointError(f"the checkpoint holds no {file}; give --base, a folder that does")
    if not base.is_dir():
        raise CheckpointError(f"{base} is no folder")
    return base


def _lora(settings: dict[str, Any]) -> tuple[float, int | None]:
    """(factor of B @ A, rank); the released code reads both from its own settings, not from PEFT's file."""
    if not settings.get("lora_enable"):
        return 0.0, None
    rank, alpha = int(settings["lora_r"]), float(settings["lora_alpha"])
    return alpha / (rank**0.5 if settings.get("use_rslora") else rank), rank


def _normalization(settings: dict[str, Any] | None, outputs: tuple[str, ...]) -> tuple[tuple[float, float], ...] | None:
    """(mean, std) of VideoAlign's three outputs; None for the released identity reward, which is the raw output."""
    if not settings or len(outputs) == 1:
        return None
    return tuple((float(settings[f"{name}_mean"]), float(settings[f"{name}_std"])) for name in outputs)
