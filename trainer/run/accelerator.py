"""accelerate, the optimizer and the network of a GRPO run."""

from __future__ import annotations

import torch
from accelerate import Accelerator, PartialState
from accelerate.utils import GradientAccumulationPlugin

from reward_model.training.errors import TrainingError
from reward_model.training.loop.processes import SHARDED

from ..config import AdamWConfig, GrpoConfig


def make_accelerator(config: GrpoConfig) -> Accelerator:
    """For the processes that `accelerate launch` started, or for this one.

    Raises TrainingError where the groups of an update cannot be divided among them.
    """
    on_cpu = not torch.cuda.is_available()
    processes = PartialState(cpu=on_cpu).num_processes
    if config.groups_per_update % processes:
        raise TrainingError(
            f"groups_per_update is {config.groups_per_update}, which {processes} processes can't share equally; give a "
            "multiple"
        )
    accelerator = Accelerator(
        cpu=on_cpu,
        mixed_precision="bf16" if config.precision == "bf16" else "no",
        # the number of passes differs from update to update, and is set for each
        gradient_accumulation_plugin=GradientAccumulationPlugin(1, sync_with_dataloader=False, adjust_scheduler=False),
    )
    if (deepspeed := accelerator.state.deepspeed_plugin) is not None:
        deepspeed.deepspeed_config.update(
            {
                "train_micro_batch_size_per_gpu": config.micro_batch,
                "gradient_accumulation_steps": 1,
                "gradient_clipping": config.optimizer.grad_clip,
            }
        )
    return accelerator


def build_optimizer(network: torch.nn.Module, config: AdamWConfig) -> torch.optim.AdamW:
    """AdamW on what is trained; `base_lr` is the rate at the top of the schedule."""
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    groups = [{"params": parameters, "lr": 0.0, "base_lr": config.learning_rate}]
    return torch.optim.AdamW(groups, betas=config.betas, eps=config.eps, weight_decay=config.weight_decay)


def network_to_sample(accelerator: Accelerator, prepared: torch.nn.Module) -> torch.nn.Module:
    """The network for forward passes without gradients: without DDP, which would wait for other processes in each; with
    shards, which all processes gather together."""
    if accelerator.distributed_type in SHARDED:
        return prepared
    return accelerator.unwrap_model(prepared)  # type: ignore[no-any-return]


def enable_gradient_checkpointing(network: torch.nn.Module) -> None:
    """By the method that networks of diffusers and transformers have. TrainingError where there is none."""
    for name in ("enable_gradient_checkpointing", "gradient_checkpointing_enable"):
        if (enable := getattr(network, name, None)) is not None:
            enable()
            return
    raise TrainingError("gradient_checkpointing is set, but the policy's network has no method for it; unset it")
