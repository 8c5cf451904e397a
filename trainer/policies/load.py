"""Policies by name, as a config states them."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from inspect import signature
from typing import Any

import torch

from reward_model.training.errors import TrainingError

from ..errors import PolicyError
from .base import VideoPolicy
from .sizes import StatesSizes

_ATTRIBUTES = (
    "network", "lora_targets", "fps", "encode", "latent_shape", "velocity", "judged_mask", "decode", "save_adapter",
)  # fmt: skip


def load_policy(name: str, options: Mapping[str, Any], device: torch.device) -> VideoPolicy:
    """The policy that the factory `name`, "module:function", creates.

    The factory is called with `options` as keywords, and with `device`; its package must be importable, which the
    folder that the command is started in is. Raises TrainingError for a factory that is not there, options that it does
    not take, an object that is no VideoPolicy, and LoRA targets that no linear layer has.
    """
    factory = _factory(name)
    try:
        signature(factory).bind(device=device, **options)
    except TypeError as error:
        raise TrainingError(
            f"policy.options do not fit {name}: {error}; it takes {', '.join(signature(factory).parameters)}"
        ) from None
    try:
        policy = factory(device=device, **options)
    except (PolicyError, OSError) as error:
        raise TrainingError(f"the policy {name} can't be loaded: {error}") from error
    missing = [attribute for attribute in _ATTRIBUTES if not hasattr(policy, attribute)]
    if missing:
        raise TrainingError(
            f"{name} returned a {type(policy).__name__} without {', '.join(missing)}; a policy has what "
            "trainer.policies.base.VideoPolicy declares"
        )
    if not adapted_layers(policy):
        raise TrainingError(f"no linear layer of {name} has a name that ends in one of {policy.lora_targets}")
    return policy


def find_sizes(name: str) -> StatesSizes | None:
    """What states the sizes of the policy that the factory `name` creates: its module, or the package of that.

    None where neither does. Raises TrainingError for a factory that is not there.
    """
    _factory(name)
    module = import_module(name.partition(":")[0])
    package = getattr(module, "__package__", None)
    places = [module, *([import_module(package)] if package else [])]
    return next((place for place in places if isinstance(place, StatesSizes)), None)


def adapted_layers(policy: VideoPolicy) -> list[str]:
    """Names of the linear layers that LoRA adapts."""
    return [
        name
        for name, module in policy.network.named_modules()
        if isinstance(module, torch.nn.Linear)
        and any(name == target or name.endswith(f".{target}") for target in policy.lora_targets)
    ]


def _factory(name: str) -> Any:
    module_name, colon, attribute = name.partition(":")
    if not (module_name and colon and attribute):
        raise TrainingError(f'policy.factory is "module:function"; got {name!r}')
    try:
        module = import_module(module_name)
    except ImportError as error:
        raise TrainingError(
            f"the policy's module {module_name} can't be imported: {error}; start the command in the folder that holds "
            "it, or put that folder on PYTHONPATH"
        ) from None
    factory = getattr(module, attribute, None)
    if not callable(factory):
        raise TrainingError(f"{module_name} has no function {attribute}")
    return factory
