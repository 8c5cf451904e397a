"""The objective of GRPO: a clipped ratio of transition probabilities, and KL to the base model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from types import MappingProxyType

import torch

from ..algorithm.loss import StepNoise, StepValues, kl, policy_loss
from ..algorithm.sde import log_prob
from ..config import GrpoConfig
from ..policies.adapters import base_weights
from ..policies.base import VideoPolicy
from ..rollout import GroupRollout, Sampler, expand
from .micro_batches import MicroBatch, OptimizerBatch
from .updater import PartLosses


class PolicyGradient:
    """Losses `clip` and `guard` of a configuration.

    Old log-probabilities are those of the rollout where sampling ran forward passes of the same shapes in fp32.
    Elsewhere they are computed again in the micro-batches of the update, so that the ratio is 1 before the first one.
    """

    extras: Mapping[str, Mapping[str, torch.Tensor]] = MappingProxyType({})

    def __init__(
        self,
        config: GrpoConfig,
        policy: VideoPolicy,
        network: torch.nn.Module,
        sampling_network: torch.nn.Module,
    ):
        """`network` as accelerate prepared it, `sampling_network` for passes without gradients."""
        self._config, self._network, self._sampling_network = config.loss, network, sampling_network
        self._loss = policy_loss(config.loss.kind)
        self._as_sampled = samples_as_it_trains(config)
        self._old: dict[tuple[MicroBatch, int], StepValues] = {}
        self.sampler = Sampler(policy, config.sampling, keep_means=self._as_sampled and config.loss.kind == "guard")

    def sampling_weights(self) -> AbstractContextManager[None]:
        return nullcontext()

    def window(self, steps: Sequence[int]) -> tuple[int, ...]:
        return tuple(steps)

    def trained_in(self, rollout: GroupRollout) -> tuple[int, ...]:
        return rollout.window

    def after(self, update: int) -> None:
        """The policy that samples is the one that is trained."""

    def before(self, batches: Sequence[OptimizerBatch]) -> None:
        self._old = {}
        if not self._as_sampled and len(batches) == 1:
            # the only update begins with the weights that sampled, so that its own values are the old ones
            return
        for batch in dict.fromkeys(batches):
            for part, step, _ in batch.passes():
                self._old[part, step] = _stored(part, step) if self._as_sampled else self._detached(part, step)

    def losses(self, part: MicroBatch, step: int) -> PartLosses:
        new, noise = self._values(self._network, part, step)
        old = self._old.get((part, step)) or StepValues(new.log_prob.detach(), new.mean.detach())
        result = self._loss(new, old, part.advantages, noise, self._config.clip_range)
        loss, divergence = result.loss, torch.zeros_like(result.ratio)
        if self._config.kl_weight:
            with torch.no_grad(), base_weights(self._sampling_network):
                base, _ = self._values(self._sampling_network, part, step)
            divergence = kl(new.mean, base.mean, noise)
            loss = loss + self._config.kl_weight * divergence
        return PartLosses(loss, divergence.detach(), result.clipped.float(), (result.ratio - 1).abs())

    def _values(self, network: torch.nn.Module, part: MicroBatch, step: int) -> tuple[StepValues, StepNoise]:
        rollout = part.rollout
        before, after = (rollout.latents[k][part.members].float() for k in (step, step + 1))
        conditioning = expand(rollout.conditioning, len(part.members))
        of_step = self.sampler.transition(network, before, step, conditioning, rollout.mask)
        sigma, sigma_next = self.sampler.schedule.step(step)
        values = StepValues(log_prob(after, of_step.mean, of_step.std, rollout.mask), of_step.mean)
        return values, StepNoise(of_step.std, sigma_next - sigma, rollout.mask)

    @torch.no_grad()
    def _detached(self, part: MicroBatch, step: int) -> StepValues:
        values, _ = self._values(self._sampling_network, part, step)
        # only guard reads the means
        return values if self._config.kind == "guard" else StepValues(values.log_prob, values.mean.new_empty(0))


def samples_as_it_trains(config: GrpoConfig) -> bool:
    """Whether an update's forward passes give the very values of sampling: fp32 and the same micro-batches."""
    return config.precision == "fp32" and config.micro_batch == config.sampling.batch and not config.scatter_members


def _stored(part: MicroBatch, step: int) -> StepValues:
    """What sampling stored; the mean is empty where the loss needs none."""
    rollout, members = part.rollout, part.members
    log_probs = rollout.log_probs[step][members]
    means = rollout.means.get(step)
    return StepValues(log_probs, means[members] if means is not None else log_probs.new_empty(0))
