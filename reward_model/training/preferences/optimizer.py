"""Which parameters of a RewardModel are trained, at which rates, and their AdamW."""

from __future__ import annotations

import torch

from reward_model.qwen.model import RewardModel

from ..configs.preferences import PreferenceTrainingConfig
from ..errors import TrainingError
from ..models.lora import is_adapter

# fields of LearningRates
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


def choose_trained(model: RewardModel, config: PreferenceTrainingConfig) -> None:
    """Sets requires_grad and dtypes.

    With bf16, frozen weights of the body are bfloat16. Trained ones stay float32, as an update of 2e-6 is lost in the
    eight bits of bfloat16's significand. Raises TrainingError where nothing would be trained.
    """
    trained = {
        "vision": config.model.train_vision,
        "merger": config.model.train_vision,
        "head": config.model.train_head,
    }
    language = config.model.train_language and config.lora is None
    for name, parameter in model.named_parameters():
        group = group_of(name)
        parameter.requires_grad = is_adapter(name) or trained.get(group, language)
        if config.precision == "bf16" and not parameter.requires_grad and name.startswith("body."):
            parameter.data = parameter.data.bfloat16()
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise TrainingError("nothing is trained: train_vision, train_language and train_head are all off")


def build_optimizer(model: torch.nn.Module, config: PreferenceTrainingConfig, prefix: str = "") -> torch.optim.AdamW:
    """AdamW with a group for each learning rate, with and without weight decay.

    `base_lr` of a group is its rate at the top of the schedule. `prefix` precedes RewardModel's names in `model`.
    """
    members: dict[tuple[str, bool], list[torch.nn.Parameter]] = {}
    for full_name, parameter in model.named_parameters():
        name = full_name.removeprefix(prefix)
        if parameter.requires_grad:
            decays = parameter.ndim > 1 and group_of(name) != "embedding"
            members.setdefault((group_of(name), decays), []).append(parameter)
    options = config.optimizer
    groups = [
        {
            "params": members[key],
            "name": key[0],
            "base_lr": getattr(config.learning_rates, key[0]),
            "lr": 0.0,
            "weight_decay": options.weight_decay if key[1] else 0.0,
        }
        for key in sorted(members, key=lambda key: (GROUPS.index(key[0]), key[1]))
    ]
    return torch.optim.AdamW(groups, betas=options.betas, eps=options.eps)
