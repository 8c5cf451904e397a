"""accelerate for a training on preference pairs: set-up, and the whole model from its shards."""

from __future__ import annotations

from typing import Any

import torch
from accelerate import Accelerator, PartialState
from accelerate.utils import GradientAccumulationPlugin

from reward_model.qwen.model import RewardModel

from ..configs.preferences import PreferenceTrainingConfig
from ..errors import TrainingError
from ..loop.processes import SHARDED
from ..models.lora import merged_state
from .samplers import slots_of


def make_accelerator(config: PreferenceTrainingConfig) -> Accelerator:
    """For the processes that `accelerate launch` started, or for this one. Raises TrainingError where the batch cannot
    be divided among them."""
    on_cpu = not torch.cuda.is_available()
    processes = PartialState(cpu=on_cpu).num_processes
    share = len(slots_of(0, processes, config.batch))
    micro = min(config.micro_batch, share)
    if share % micro:
        raise TrainingError(f"{share} pairs of a batch for each process are no multiple of micro_batch {micro}")
    parts = share // micro
    accumulation = GradientAccumulationPlugin(parts, sync_with_dataloader=False, adjust_scheduler=False)
    accelerator = Accelerator(
        cpu=on_cpu,
        mixed_precision="bf16" if config.precision == "bf16" else "no",
        gradient_accumulation_plugin=accumulation,
    )
    if (deepspeed := accelerator.state.deepspeed_plugin) is not None:
        deepspeed.deepspeed_config.update(deepspeed_values(micro, parts, config.optimizer.grad_clip))
    return accelerator


def deepspeed_values(micro: int, parts: int, grad_clip: float) -> dict[str, float]:
    """Entries of DeepSpeed's own configuration for what it does itself instead of the training loop."""
    return {
        "train_micro_batch_size_per_gpu": micro,
        "gradient_accumulation_steps": parts,
        "gradient_clipping": grad_clip,
    }


def gather_state(accelerator: Accelerator, packed: Any, model: RewardModel) -> dict[str, torch.Tensor]:
    """RewardModel's state on the CPU with LoRA merged, on the main process; every process calls it."""
    if accelerator.distributed_type in SHARDED:
        gathered = accelerator.get_state_dict(packed)
        if not accelerator.is_main_process:
            return {}
        of_model = {name: value for name, value in gathered.items() if name.startswith("model.")}
        return merged_state(model, {name.removeprefix("model."): value for name, value in of_model.items()})
    return merged_state(accelerator.unwrap_model(packed).model)
