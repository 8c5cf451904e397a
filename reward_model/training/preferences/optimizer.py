"""What is trained, at which rate, and how the rates go over time. The rate of a step follows from its number alone."""

from __future__ import annotations

from math import cos, pi

import torch

from reward_model.qwen.model import RewardModel

from ..configs.preferences import OptimizerConfig, TrainConfig
from ..errors import TrainingError
from ..models.lora import is_adapter

GROUPS = ("language", "vision", "merger", "head", "embedding")


def group_of(name: str) -> str:
    """The group of LearningRates that a parameter of RewardModel belongs to."""
    if "embed_tokens" in name:
        return "embedding"
    if name.startswith("body.visual.merger"):
        return "merger"
    if name.startswith("body.visual"):
        return "vision"
    return "language" if name.startswith("body.") else "head"


def choose_trained(model: RewardModel, config: TrainConfig) -> None:
    """Sets requires_grad and dtypes: with bf16, frozen weights of the body are bfloat16; trained ones are float32, as a
    step of 2e-6 is lost in bfloat16's eight bits."""
    chosen = {"vision": config.model.train_vision, "merger": config.model.train_vision, "head": config.model.train_head}
    language = config.model.train_language and config.lora is None
    for name, parameter in model.named_parameters():
        group = group_of(name)
        parameter.requires_grad = is_adapter(name) or chosen.get(group, language)
        if config.precision == "bf16" and not parameter.requires_grad and name.startswith("body."):
            parameter.data = parameter.data.bfloat16()
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise TrainingError("nothing is trained: train_vision, train_language and train_head are all off")


def build_optimizer(model: torch.nn.Module, config: TrainConfig, prefix: str = "") -> torch.optim.AdamW:
    """A group for each learning rate and for what decays; `base_lr` of a group is its rate at the top of the schedule.
    `prefix`: what stands before RewardModel's names in `model`."""
    found: dict[tuple[str, bool], list[torch.nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        name = name.removeprefix(prefix)
        if parameter.requires_grad:
            decays = parameter.ndim > 1 and group_of(name) != "embedding"
            found.setdefault((group_of(name), decays), []).append(parameter)
    options = config.optimizer
    groups = [
        {
            "params": found[key],
            "name": key[0],
            "base_lr": getattr(config.learning_rates, key[0]),
            "lr": 0.0,
            "weight_decay": options.weight_decay if key[1] else 0.0,
        }
        for key in sorted(found, key=lambda key: (GROUPS.index(key[0]), key[1]))
    ]
    return torch.optim.AdamW(groups, betas=options.betas, eps=options.eps)


def factor(step: int, num_steps: int, config: OptimizerConfig) -> float:
    """What rates are multiplied by in step 0, 1, ...: up to 1 over the warm-up, then constant or down to 0 by a half
    cosine."""
    warm = max(1, round(config.warmup * num_steps)) if config.warmup else 0
    if step < warm:
        return (step + 1) / warm
    if config.schedule == "constant_with_warmup":
        return 1.0
    return 0.5 * (1 + cos(pi * (step - warm) / max(1, num_steps - warm)))


def set_rates(optimizer: torch.optim.Optimizer, step: int, num_steps: int, config: OptimizerConfig) -> None:
    scale = factor(step, num_steps, config)
    for group in optimizer.param_groups:
        group["lr"] = scale * group["base_lr"]
