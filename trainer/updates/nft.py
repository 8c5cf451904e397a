"""The objective of DiffusionNFT: noised clean latents, contrasted with the velocity of an older policy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager

import torch

from reward_model.data.seeding import generator

from ..algorithm.nft import nft_loss, noised, optimality
from ..algorithm.sde import masked_mean
from ..config import GrpoConfig
from ..policies.adapters import base_weights
from ..policies.base import VideoPolicy
from ..rollout import GroupRollout, Sampler, expand
from .average import WeightAverage
from .micro_batches import MicroBatch, OptimizerBatch
from .updater import PartLosses


class Nft:
    """Loss `nft` of a configuration. The policy that samples is an average of the trained one, the `old` tensors."""

    def __init__(
        self,
        config: GrpoConfig,
        policy: VideoPolicy,
        network: torch.nn.Module,
        sampling_network: torch.nn.Module,
        trained: Mapping[str, torch.nn.Parameter],
    ):
        """Networks as of `PolicyGradient`; `trained` are the parameters that are trained, by name."""
        self.sampler = Sampler(policy, config.sampling)
        self._config, self._policy = config, policy
        self._network, self._sampling_network = network, sampling_network
        self._old = WeightAverage(trained)

    @property
    def extras(self) -> Mapping[str, Mapping[str, torch.Tensor]]:
        return {"old": self._old.tensors}

    def sampling_weights(self) -> AbstractContextManager[None]:
        return self._old.applied()

    def window(self, steps: Sequence[int]) -> tuple[int, ...]:
        return ()

    def trained_in(self, rollout: GroupRollout) -> tuple[int, ...]:
        """Numbers of the noise levels that each sample is trained on."""
        return tuple(range(min(self._config.loss.nft.timesteps, len(self.sampler.schedule))))

    def before(self, batches: Sequence[OptimizerBatch]) -> None:
        """Nothing is kept of the policy that sampled but its weights."""

    def after(self, update: int) -> None:
        config = self._config.loss.nft
        self._old.update(min(config.old_decay_rise * update, config.old_decay_limit))

    def losses(self, part: MicroBatch, step: int) -> PartLosses:
        config, rollout = self._config.loss, part.rollout
        schedule, members = self.sampler.schedule, part.members.tolist()
        rng = generator(self._config.seed, "noise levels", rollout.noise.update, rollout.key)
        level = int(rng.permutation(len(schedule))[step])
        sigma = schedule.step(level)[0]
        clean = rollout.final[part.members].float()
        noise = rollout.noise.of_training(step, clean.shape[1:], rollout.key, members).to(clean.device)
        latents = noised(clean, noise, sigma)
        # weights are exchanged before the pass with gradients: autograd forbids it between the pass and its backward
        with self._old.applied():
            old = self._velocity(self._sampling_network, latents, level, part)
        base = None
        if config.kl_weight:
            with base_weights(self._sampling_network):
                base = self._velocity(self._sampling_network, latents, level, part)
        velocity = self._policy_velocity(self._network, latents, level, part)
        likely = optimality(part.advantages, self._config.advantages.clip_max)
        loss = nft_loss(velocity, old, clean, latents, sigma, likely, config.nft.beta, rollout.mask)
        divergence = torch.zeros_like(loss)
        if base is not None:
            divergence = masked_mean((velocity - base) ** 2, rollout.mask)
            loss = loss + config.kl_weight * divergence
        zeros = torch.zeros_like(loss.detach())
        return PartLosses(loss, divergence.detach(), zeros, zeros)

    @torch.no_grad()
    def _velocity(self, network: torch.nn.Module, latents: torch.Tensor, level: int, part: MicroBatch) -> torch.Tensor:
        return self._policy_velocity(network, latents, level, part)

    def _policy_velocity(
        self, network: torch.nn.Module, latents: torch.Tensor, level: int, part: MicroBatch
    ) -> torch.Tensor:
        conditioning = expand(part.rollout.conditioning, len(part.members))
        timestep = self.sampler.schedule.timesteps[level]
        return self._policy.velocity(network, latents, timestep, conditioning, self._config.sampling.guidance).float()
