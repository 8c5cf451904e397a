"""Optimizer steps from one rollout: micro-batches, accumulated over all groups of an update and over all processes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from math import isfinite
from typing import Protocol

import numpy as np
import torch
from accelerate import Accelerator, DistributedType

from reward_model.training.errors import NotFinite
from reward_model.training.loop.processes import TrainedModule

from ..config import GrpoLossConfig
from ..rollout import GroupRollout, Sampler
from .micro_batches import MicroBatch, OptimizerBatch

ADVICE = (
    "Lower the rate, or the largest norm of the gradient: --resume --allow-changes --set optimizer.learning_rate=..."
)


@dataclass(frozen=True, eq=False)
class PartLosses:
    """Of a micro-batch in one of its steps, [B] each: the loss with its gradient, and values for the journal."""

    loss: torch.Tensor
    # from the base model; 0 where the loss has no such term
    kl: torch.Tensor
    # 1 where the clip holds the gradient at 0
    clipped: torch.Tensor
    # distance of the ratio from 1
    deviation: torch.Tensor


class Objective(Protocol):
    """A loss of micro-batches under the network that is trained, and what it needs of a rollout."""

    sampler: Sampler

    @property
    def extras(self) -> Mapping[str, Mapping[str, torch.Tensor]]:
        """Tensors of a saved state by name, restored in place."""

    def sampling_weights(self) -> AbstractContextManager[None]:
        """Inside the context the network has the weights of the policy that samples."""

    def window(self, steps: Sequence[int]) -> tuple[int, ...]:
        """Which of the configured `steps` add noise and are stored."""

    def trained_in(self, rollout: GroupRollout) -> tuple[int, ...]:
        """The steps of each sample, the second argument of `losses`; equally many for all groups."""

    def before(self, batches: Sequence[OptimizerBatch]) -> None:
        """Called with the weights that sampled, before the updates of a rollout."""

    def losses(self, part: MicroBatch, step: int) -> PartLosses:
        """The losses of a micro-batch in one of its steps."""

    def after(self, update: int) -> None:
        """Called after optimizer step 0, 1, ... of the run."""


@dataclass(frozen=True)
class UpdateResult:
    """Means over the samples and trained steps of an update, over all processes."""

    loss: float
    kl: float
    # share of ratios that the clip holds
    clipped: float
    # largest distance of a ratio from 1
    max_deviation: float
    grad_norm: float


class Updater:
    """Optimizer steps on an objective. The module and optimizer of `trained` are as accelerate prepared them."""

    def __init__(self, objective: Objective, trained: TrainedModule, accelerator: Accelerator, grad_clip: float):
        self._objective, self._trained = objective, trained
        self._accelerator, self._grad_clip = accelerator, grad_clip

    def updates(self, batches: Sequence[OptimizerBatch]) -> Iterator[UpdateResult | None]:
        """The result of each optimizer step; None for one without samples, which changes nothing.

        Raises NotFinite in all processes before the optimizer step.
        """
        self._objective.before(batches)
        for batch in batches:
            yield self._update(batch) if batch.num_samples else None

    def _update(self, batch: OptimizerBatch) -> UpdateResult:
        accelerator, optimizer = self._accelerator, self._trained.optimizers[0]
        accelerator.gradient_accumulation_steps = batch.num_passes
        accelerator.step = 0
        # sums of losses, KL and clipped ratios
        total = torch.zeros(3, device=accelerator.device)
        deviation = torch.zeros((), device=accelerator.device)
        means: list[float] = []
        norm = 0.0
        for part, step, counts in batch.passes():
            with accelerator.accumulate(self._trained.module):
                weight = part.used * counts
                losses = self._objective.losses(part, step)
                total += (torch.stack([losses.loss.detach(), losses.kl, losses.clipped]) * weight).sum(1)
                deviation = torch.maximum(deviation, (losses.deviation * weight).max())
                self._backward((losses.loss * weight).sum() / batch.num_values, batch.num_passes)
                if accelerator.sync_gradients:
                    norm = float(accelerator.clip_grad_norm_(self._trained.module.parameters(), self._grad_clip) or 0)
                    # DeepSpeed updates in its backward pass, before its norm is known
                    self._trained.updating |= accelerator.distributed_type == DistributedType.DEEPSPEED
                    means = (accelerator.reduce(total, "sum") / batch.num_values).tolist()
                    self._require_finite(means[0], norm, batch)
                    self._trained.updating = True
                optimizer.step()
                optimizer.zero_grad()
        loss, kl, clipped = means
        return UpdateResult(loss, kl, clipped, float(accelerator.gather(deviation[None]).max()), norm)

    def _backward(self, loss: torch.Tensor, num_passes: int) -> None:
        accelerator = self._accelerator
        # accelerate divides by the number of passes, except under DeepSpeed, and averages over processes
        scale = 1 if accelerator.distributed_type == DistributedType.DEEPSPEED else num_passes
        accelerator.backward(loss * accelerator.num_processes * scale)

    def _require_finite(self, loss: float, norm: float, batch: OptimizerBatch) -> None:
        for quantity, value in (("loss", loss), ("norm of the gradient", norm)):
            if not isfinite(value):
                self._trained.optimizers[0].zero_grad()
                raise NotFinite(quantity, value, f"with groups {', '.join(batch.keys)}", ADVICE)


def journal_values(results: Sequence[UpdateResult], loss: GrpoLossConfig) -> dict[str, float]:
    """Means over the updates of a rollout, if there were any; the clip can only act from the second one on."""
    if not results:
        return {}
    values = {
        "loss": float(np.mean([result.loss for result in results])),
        "grad_norm": float(np.mean([result.grad_norm for result in results])),
    }
    if loss.kl_weight:
        values["kl"] = float(np.mean([result.kl for result in results]))
    if loss.kind != "nft":
        values["first_ratio_deviation"] = results[0].max_deviation
        if len(results) > 1:
            values["clipped"] = float(np.mean([result.clipped for result in results[1:]]))
    return values
