"""Sampling of groups: G videos of one prompt, by steps that add noise inside a window and by an ODE outside it.

Only the latents inside the window are stored, since only its steps are trained (MixGRPO, arXiv 2507.21802). Shapes:
G members of a group, B members in one forward pass, X the latents of one sample.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from reward_model.data.seeding import generator

from .algorithm.schedule import sigma_schedule
from .algorithm.sde import Transition, log_prob, transition
from .configs.sampling import EvaluationSamplingConfig, SamplingConfig, WindowConfig
from .noise import Noise
from .policies.base import Conditioning, VideoPolicy
from .prompts import Prompt

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(eq=False)
class GroupRollout:
    """A sampled group. Tensors are on the policy's device."""

    # unique in its rollout; also the name of its noise
    key: str
    prompt: Prompt
    # of one sample: tensors [1, ...]
    conditioning: Conditioning
    # bool, broadcastable to X: latents that are decoded
    mask: torch.Tensor
    noise: Noise
    # sampled latents [G, X]
    final: torch.Tensor
    # steps that are trained
    window: tuple[int, ...]
    # by step k of the window and k + 1: [G, X] before step k, in the storage dtype
    latents: dict[int, torch.Tensor] = field(default_factory=dict)
    # by step of the window: [G] float32, under the policy that sampled
    log_probs: dict[int, torch.Tensor] = field(default_factory=dict)
    # by step of the window: [G, X] float32
    means: dict[int, torch.Tensor] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.final)


class Sampler:
    """Samples groups of a policy, and computes its transitions again in an update."""

    def __init__(self, policy: VideoPolicy, config: SamplingConfig, keep_means: bool = False):
        """`keep_means`: a rollout stores the means of its trained steps."""
        self.policy, self.config, self._keep_means = policy, config, keep_means
        self.schedule = sigma_schedule(config.schedule, config.num_steps, config.shift)

    def transition(
        self,
        network: torch.nn.Module,
        latents_BX: torch.Tensor,
        step: int,
        conditioning: Conditioning,
        mask: torch.Tensor,
        rule: str | None = None,
    ) -> Transition:
        """The distribution after a step under the policy with `network`. `rule` None: that of the configuration."""
        config = self.config
        velocity = self.policy.velocity(
            network, latents_BX, self.schedule.timesteps[step], conditioning, config.guidance
        )
        return transition(
            latents_BX,
            velocity,
            *self.schedule.step(step),
            rule or config.rule,
            sigma_1=float(self.schedule.sigmas[1]),
            level=config.noise_level,
            mask=mask,
        )

    @torch.no_grad()
    def sample(
        self,
        network: torch.nn.Module,
        prompt: Prompt,
        key: str,
        group_size: int,
        noise: Noise,
        window: Sequence[int],
    ) -> GroupRollout:
        """Samples `group_size` videos of a prompt; the steps of `window` add noise and are stored."""
        conditioning = self.policy.encode([prompt])
        shape = tuple(self.policy.latent_shape(conditioning))
        device = next(network.parameters()).device
        mask = self.policy.judged_mask(conditioning).to(device)
        parts = [
            self._sample_members(network, conditioning, mask, shape, key, members, noise, tuple(window))
            for members in chunks(group_size, self.config.batch)
        ]
        return GroupRollout(
            key,
            prompt,
            conditioning,
            mask,
            noise,
            torch.cat([part.final for part in parts]),
            tuple(window),
            *(
                {step: torch.cat([getattr(part, name)[step] for part in parts]) for step in getattr(parts[0], name)}
                for name in ("latents", "log_probs", "means")
            ),
        )

    def _sample_members(
        self,
        network: torch.nn.Module,
        conditioning: Conditioning,
        mask: torch.Tensor,
        shape: tuple[int, ...],
        key: str,
        members: range,
        noise: Noise,
        window: tuple[int, ...],
    ) -> _Trajectory:
        config, last = self.config, len(self.schedule) - 1
        repeated = expand(conditioning, len(members))
        x = noise.initial(shape, key, members, config.initial_noise == "same").to(mask.device)
        part = _Trajectory(x)
        for step in range(len(self.schedule)):
            if step in window:
                x = part.store(step, x, DTYPES[config.storage_dtype])
            noisy = step in window or (step == last and config.noisy_last_step)
            after = self.transition(network, x, step, repeated, mask, None if noisy else "ode")
            x = after.mean
            if after.std:
                x = x + torch.where(mask, after.std * noise.of_step(step, shape, key, members).to(x.device), 0.0)
            if step in window:
                x = part.store(step + 1, x, DTYPES[config.storage_dtype])
                part.log_probs[step] = log_prob(x, after.mean, after.std, mask)
                if self._keep_means:
                    part.means[step] = after.mean
        part.final = x
        return part

    def decode(self, rollout: GroupRollout) -> list[np.ndarray]:
        """The clips of a group: uint8 RGB frames_THWC each."""
        return decode(self.policy, rollout.final, rollout.conditioning, self.config.batch)


@dataclass(eq=False)
class _Trajectory:
    """What `GroupRollout` stores, of some of a group's members."""

    final: torch.Tensor
    latents: dict[int, torch.Tensor] = field(default_factory=dict)
    log_probs: dict[int, torch.Tensor] = field(default_factory=dict)
    means: dict[int, torch.Tensor] = field(default_factory=dict)

    def store(self, step: int, x: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        """Stores latents and returns what an update will read, so that its log-probabilities are of the same values."""
        self.latents[step] = x.to(dtype)
        return self.latents[step].float()


def sample_clips(
    policy: VideoPolicy,
    network: torch.nn.Module,
    prompt: Prompt,
    members: int,
    noise: Noise,
    sampling: SamplingConfig,
    evaluation: EvaluationSamplingConfig,
) -> list[np.ndarray]:
    """Clips of a prompt for evaluation: uint8 RGB frames_THWC each. Arguments as of `sample_latents`."""
    latents, conditioning = sample_latents(policy, network, prompt, members, noise, sampling, evaluation)
    return decode(policy, latents, conditioning, sampling.batch)


@torch.no_grad()
def sample_latents(
    policy: VideoPolicy,
    network: torch.nn.Module,
    prompt: Prompt,
    members: int,
    noise: Noise,
    sampling: SamplingConfig,
    evaluation: EvaluationSamplingConfig,
) -> tuple[torch.Tensor, Conditioning]:
    """Latents [members, X] of a prompt by Euler's method, and the conditioning of one sample. The same `noise` gives
    the same initial latents to any network."""
    schedule = sigma_schedule(sampling.schedule, evaluation.num_steps, sampling.shift)
    conditioning = policy.encode([prompt])
    shape = tuple(policy.latent_shape(conditioning))
    device = next(network.parameters()).device
    finals = []
    for part in chunks(members, sampling.batch):
        x = noise.initial(shape, prompt.key, part).to(device)
        repeated = expand(conditioning, len(part))
        for step, timestep in enumerate(schedule.timesteps):
            velocity = policy.velocity(network, x, timestep, repeated, evaluation.guidance)
            x = transition(x, velocity, *schedule.step(step), "ode", sigma_1=1.0).mean
        finals.append(x)
    return torch.cat(finals), conditioning


def trained_steps(window: WindowConfig, num_steps: int, seed: int, rollout: int) -> tuple[int, ...]:
    """The steps of a window in rollout 0, 1, ...; the last step of the sampler is never among them."""
    trainable = num_steps - 1
    if window.kind == "all":
        return tuple(range(trainable))
    first = window.first
    if window.kind == "progressive":
        starts = range(first, trainable - window.size + 1, window.stride)
        first = starts[rollout // window.every % len(starts)]
    elif window.kind == "random":
        first = int(generator(seed, "window", rollout).integers(first, trainable - window.size + 1))
    return tuple(range(first, first + window.size))


def expand(conditioning: Conditioning, count: int) -> Mapping[str, torch.Tensor]:
    """The conditioning of one sample, for `count` samples."""
    return {name: tensor.expand(count, *tensor.shape[1:]) for name, tensor in conditioning.items()}


def chunks(count: int, size: int) -> Iterator[range]:
    """0..count-1 in ranges of at most `size`."""
    return (range(start, min(start + size, count)) for start in range(0, count, size))


def decode(policy: VideoPolicy, latents_GX: torch.Tensor, conditioning: Conditioning, batch: int) -> list[np.ndarray]:
    """Clips of latents of one prompt: uint8 RGB frames_THWC each."""
    return [
        clip
        for part in chunks(len(latents_GX), batch)
        for clip in policy.decode(latents_GX[part.start : part.stop], expand(conditioning, len(part)))
    ]
