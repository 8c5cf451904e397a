"""The processes of one training, by accelerate, and the module and optimizers that they train together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator, DistributedType
from accelerate.state import AcceleratorState, GradientState
from accelerate.utils import get_int_from_env
from safetensors import SafetensorError
from torch.distributed.tensor import DTensor

from ..errors import TrainingError
from . import state

SHARDED = (DistributedType.FSDP, DistributedType.DEEPSPEED)


class Processes:
    """The processes of a training. Without an accelerator the count is one."""

    def __init__(self, accelerator: Accelerator | None = None):
        self.accelerator = accelerator

    @property
    def is_main(self) -> bool:
        return self.accelerator is None or self.accelerator.is_main_process

    @property
    def count(self) -> int:
        return 1 if self.accelerator is None else self.accelerator.num_processes

    @property
    def index(self) -> int:
        return 0 if self.accelerator is None else self.accelerator.process_index

    @property
    def device(self) -> torch.device:
        if self.accelerator is not None:
            return self.accelerator.device
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")

    def require_support(self, kind: str) -> None:
        """Raises TrainingError where `accelerate launch` started several processes of a training that uses one."""
        if self.accelerator is None and (count := get_int_from_env(["WORLD_SIZE"], 1)) > 1:
            raise TrainingError(f"kind {kind} trains in one process, and {count} were started; use --num_processes 1")

    def any_of(self, *flags: bool) -> list[bool]:
        """Whether each flag is set in some process; every process calls it."""
        if self.accelerator is None:
            return list(flags)
        counts = self.accelerator.reduce(torch.tensor([float(f) for f in flags], device=self.device), "sum")
        return [count > 0 for count in counts.tolist()]

    def wait(self) -> None:
        """Blocks until every process has called it."""
        if self.accelerator is not None:
            self.accelerator.wait_for_everyone()


@dataclass(eq=False)
class TrainedModule:
    """A module under training and its optimizers, as accelerate prepared them where there is an accelerator."""

    module: Any
    optimizers: tuple[Any, ...]
    accelerator: Accelerator | None = None
    # set by a task before an optimizer changes parameters in a step; the run loop clears it when the step counts
    updating: bool = False
    # further tensors of the state by name, such as averaged weights by name of the parameter; restored in place
    extras: Mapping[str, Mapping[str, torch.Tensor]] = field(default_factory=dict)

    @property
    def _sharding(self) -> str:
        """Name of accelerate's format where each process holds a shard, else WHOLE."""
        if self.accelerator is not None and self.accelerator.distributed_type in SHARDED:
            return self.accelerator.distributed_type.value
        return state.WHOLE

    def _plain(self) -> tuple[torch.nn.Module, list[torch.optim.Optimizer]]:
        if self.accelerator is None:
            return self.module, list(self.optimizers)
        return self.accelerator.unwrap_model(self.module), [prepared.optimizer for prepared in self.optimizers]

    def all_finite(self) -> bool:
        """Whether every trained parameter is finite in all processes; every process calls it."""
        parameters = (parameter for parameter in self.module.parameters() if parameter.requires_grad)
        local = (parameter.to_local() if isinstance(parameter, DTensor) else parameter for parameter in parameters)
        odd = sum(not bool(torch.isfinite(part).all()) for part in local)
        return not Processes(self.accelerator).any_of(odd > 0)[0]

    def save(self, out: Path, step: int, hashes: dict[str, str]) -> Path:
        """Writes `out/state/step-NUMBER` with `step` completed steps and returns it; every process calls it.

        Raises TrainingError in all processes where it cannot be written, as on a full disk.
        """
        final = state.folder_of(out, step)
        partial = state.partial_of(final)
        is_main, whole = Processes(self.accelerator).is_main, self._sharding == state.WHOLE

        def begin() -> None:
            if is_main:
                state.begin(out, step)

        def write() -> None:
            if self.accelerator is not None and not whole:
                self.accelerator.save_state(str(partial), safe_serialization=True)
            elif is_main:
                module, optimizers = self._plain()
                state.write_tensors(partial, module, *optimizers)
            for name, tensors in self.extras.items():
                if is_main or not whole:
                    state.write_named(partial / self._file_of(name), _local(tensors))

        def finish() -> None:
            if is_main:
                state.finish(partial, state.SavedProgress(step, hashes, self._sharding))

        for part in (begin, write, finish):
            self._together(part, final)
        return final

    def _together(self, part: Callable[[], None], final: Path) -> None:
        """Runs a part of saving; where it fails in some process, all raise TrainingError."""
        problem: Exception | None = None
        try:
            part()
        except (OSError, SafetensorError) as error:
            problem = error
        if Processes(self.accelerator).any_of(problem is not None)[0]:
            reason = str(problem) if problem is not None else "another process failed"
            raise TrainingError(f"{final} can't be written: {reason}. States before it are kept") from None

    def _file_of(self, name: str) -> str:
        """File of further tensors; where each process holds a shard, each has a file."""
        rank = "" if self._sharding == state.WHOLE else f"-{Processes(self.accelerator).index}"
        return f"{name}{rank}.safetensors"

    def restore(self, folder: Path) -> int:
        """Reads a state and returns its number of completed steps. Raises TrainingError for a state that this run
        cannot read."""
        progress = state.read_progress(folder)
        state.require_format(folder, progress, self._sharding)
        if self.accelerator is not None and self._sharding != state.WHOLE:
            self.accelerator.load_state(str(folder))
        else:
            module, optimizers = self._plain()
            state.read_tensors(folder, module, *optimizers)
        for name, tensors in self.extras.items():
            state.read_named(folder / self._file_of(name), _local(tensors))
        return progress.step


def _local(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The parts of the tensors that this process holds."""
    return {name: t.to_local() if isinstance(t, DTensor) else t for name, t in tensors.items()}


def reset_accelerate() -> None:
    """Clears accelerate's process-wide choices, so that the next run of this process can make others."""
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()
