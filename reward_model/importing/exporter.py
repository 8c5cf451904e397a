"""Export of a reward model to the layout of the released code: settings and one whole `model.pth`."""

from __future__ import annotations

import shutil
from json import dumps
from pathlib import Path
from typing import Any

from safetensors import safe_open

from ..checkpoint import write_torch_file
from ..config import RewardModelConfig
from ..folder import TOKENIZER, WEIGHTS, CheckpointError, read_config
from .keys import EMBEDDING, released


def export_checkpoint(folder: Path, out: Path, base_name: str = "Qwen/Qwen2.5-VL-3B-Instruct") -> Path:
    """Writes `out` and returns it.

    CheckpointError when the model has a template that the released code cannot express, when `out` exists, or when the
    disk is too full.
    """
    config = read_config(folder)
    settings = _settings(config, base_name)
    if out.exists():
        raise CheckpointError(f"{out} exists already; give a folder that doesn't, or remove it")
    size, free = (folder / WEIGHTS).stat().st_size, shutil.disk_usage(out.resolve().parent).free
    if size * 1.1 > free:
        raise CheckpointError(
            f"{out.resolve().parent} has {free / 1e9:.1f} GB free and {size * 1.1 / 1e9:.1f} GB are needed"
        )
    partial = out.resolve().parent / f".{out.name}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    step = config.version.removeprefix("step-") if config.version.removeprefix("step-").isdecimal() else "0"
    checkpoint = partial / f"checkpoint-{step}"
    try:
        (checkpoint / "tokenizer").mkdir(parents=True)
        with safe_open(folder / WEIGHTS, "pt") as file:
            names = file.keys()
            state = {released(name): file.get_tensor(name) for name in names}
        state["lm_head.weight"] = state[released(EMBEDDING)]  # tied
        write_torch_file(checkpoint / "model.pth", state)
        shutil.copyfile(folder / TOKENIZER, checkpoint / "tokenizer" / TOKENIZER)
        (partial / "config.json").write_text(dumps(_body(config), indent=2) + "\n")
        (partial / "model_config.json").write_text(dumps(settings, indent=4) + "\n")
        partial.rename(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return out


def _settings(config: RewardModelConfig, base_name: str) -> dict[str, Any]:
    """model_config.json."""
    sampling, template = config.frame_sampling, config.template
    if not all(token.endswith("_reward|>") and token[2:4].isupper() for token in template.reward_tokens):
        raise CheckpointError(
            f"template {template.name!r} isn't the released code's: its reward tokens are {template.reward_tokens}"
        )
    return {
        "data_config": {
            "meta_data": "", "data_dir": "", "meta_data_test": "",
            "max_frame_pixels": config.reference_pixels.max_pixels,
            "num_frames": None if sampling.num_frames is None else float(sampling.num_frames), "fps": sampling.fps,
            "p_shuffle_frames": 0.0, "p_color_jitter": 0.0, "eval_dim": list(config.outputs),
            "prompt_template_type": template.name, "add_noise": False, "sample_type": "uniform", "use_tied_data": True,
        },
        "training_args": {},
        "model_config": {
            "model_name_or_path": base_name, "model_revision": "main", "output_dim": len(config.outputs),
            "use_special_tokens": True, "torch_dtype": "float32", "reward_token": "special", "loss_type": "btt",
        },
        "peft_lora_config": {"lora_enable": False},
    }  # fmt: skip


def _body(config: RewardModelConfig) -> dict[str, Any]:
    """config.json with the text model's fields at the top level, as transformers 4.51 writes it."""
    backbone = dict(config.backbone)
    text, vision = dict(backbone.pop("text_config")), dict(backbone.pop("vision_config"))
    rope = dict(text.pop("rope_parameters"))
    theta = rope.pop("rope_theta")
    return {
        "model_type": "qwen2_5_vl", **text, **backbone, "rope_theta": theta,
        "rope_scaling": {**rope, "type": "default"}, "vision_config": {"model_type": "qwen2_5_vl", **vision},
        "tie_word_embeddings": True, "use_sliding_window": False,
    }  # fmt: skip
