"""What depends on how many processes there are, and on who holds which part of the model: accelerate's business."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator, DistributedType, PartialState
from accelerate.state import AcceleratorState, GradientState
from accelerate.utils import GradientAccumulationPlugin, get_int_from_env
from torch.distributed.tensor import DTensor

from reward_model.qwen.model import RewardModel

from ..configs.preferences import TrainConfig
from ..errors import TrainingError
from ..models.lora import folded_state
from ..preferences.samplers import slots_of
from . import state

SHARDED = (DistributedType.FSDP, DistributedType.DEEPSPEED)


def make_accelerator(config: TrainConfig) -> Accelerator:
    """For the processes that `accelerate launch` started, or for this one. TrainingError where the batch can't be
    shared among them."""
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


def require_one_process(kind: str) -> None:
    """TrainingError under `accelerate launch` with more."""
    if (processes := get_int_from_env(["WORLD_SIZE"], 1)) > 1:
        raise TrainingError(f"kind {kind} trains in one process, and {processes} were started; use --num_processes 1")


def deepspeed_values(micro: int, parts: int, grad_clip: float) -> dict[str, float]:
    """What DeepSpeed does by its own config and not by what a loop asks of it."""
    return {
        "train_micro_batch_size_per_gpu": micro,
        "gradient_accumulation_steps": parts,
        "gradient_clipping": grad_clip,
    }


def reset_accelerate() -> None:
    """accelerate keeps its choices for the whole process; the next run may choose otherwise."""
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()


def all_finite(accelerator: Accelerator, packed: Any) -> bool:
    """Of all that is trained, in all processes; every one calls it."""
    trained = (parameter for parameter in packed.parameters() if parameter.requires_grad)
    here = (parameter.to_local() if isinstance(parameter, DTensor) else parameter for parameter in trained)
    odd = torch.tensor(sum(not bool(torch.isfinite(part).all()) for part in here), device=accelerator.device)
    return accelerator.reduce(odd, "sum").item() == 0


def save_state(
    accelerator: Accelerator, out: Path, step: int, hashes: dict[str, str], packed: Any, optimizer: Any
) -> Path:
    """Writes `out/state/step-...`; every process calls it."""
    final = out / "state" / f"step-{step:08d}"
    sharded = accelerator.distributed_type in SHARDED
    partial = final.with_name(f".{final.name}.writing")
    if accelerator.is_main_process:
        partial = state.begin(out, step)
    accelerator.wait_for_everyone()
    if sharded:
        accelerator.save_state(str(partial), safe_serialization=True)
    elif accelerator.is_main_process:
        state.write_tensors(partial, accelerator.unwrap_model(packed), optimizer.optimizer)
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        written = accelerator.distributed_type.value if sharded else state.WHOLE
        state.finish(partial, state.Progress(step, hashes, written))
    accelerator.wait_for_everyone()
    return final


def restore(accelerator: Accelerator, folder: Path, packed: Any, optimizer: Any) -> int:
    """The steps that the state of `folder` has done. TrainingError where it was written in another way than this run
    can read."""
    progress = state.read_progress(folder)
    kind = accelerator.distributed_type.value if accelerator.distributed_type in SHARDED else state.WHOLE
    state.require_written(folder, progress, kind)
    if kind != state.WHOLE:
        accelerator.load_state(str(folder))
    else:
        state.read_tensors(folder, accelerator.unwrap_model(packed), optimizer.optimizer)
    return progress.step


def gather_state(accelerator: Accelerator, packed: Any, model: RewardModel) -> dict[str, torch.Tensor]:
    """RewardModel's whole state with LoRA folded in, on the main process; every process calls it."""
    if accelerator.distributed_type in SHARDED:
        whole = accelerator.get_state_dict(packed)
        if not accelerator.is_main_process:
            return {}
        own = {name: value for name, value in whole.items() if name.startswith("model.")}
        return folded_state(model, {name.removeprefix("model."): value for name, value in own.items()})
    return folded_state(accelerator.unwrap_model(packed).model)
