"""The protocol of a video model under training.

The policy owns what is specific to a model: preparation of prompts and references, guidance, decoding. The trainer
owns noise, schedule, log-probabilities, adapters and the optimizer. Shapes: B samples, X the dimensions of one
sample's latents.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import torch

from ..prompts import Prompt

# what a velocity depends on besides latents and time: tensors [B, ...] by name, so that samples can be selected
Conditioning = Mapping[str, torch.Tensor]


class VideoPolicy(Protocol):
    """A reference-conditioned flow-matching model: velocity = noise - data at latents (1 - sigma) data + sigma noise.

    `network` holds the base weights. The trainer adds LoRA to it and may wrap it for several processes; `velocity`
    and `save_adapter` are called with that wrapped network.
    """

    network: torch.nn.Module
    # LoRA adapts the linear layers whose names end in one of these
    lora_targets: tuple[str, ...]
    # frames per second of decoded clips
    fps: float

    def encode(self, prompts: Sequence[Prompt]) -> Conditioning:
        """Conditioning of a batch, on the network's device, without gradients.

        Raises `trainer.errors.PolicyError` for references or texts that it cannot use; prompts of one batch have
        equally many references.
        """

    def latent_shape(self, conditioning: Conditioning) -> tuple[int, ...]:
        """Shape X of one sample's latents, those of reference frames included."""

    def velocity(
        self,
        network: torch.nn.Module,
        latents_BX: torch.Tensor,
        timestep: int,
        conditioning: Conditioning,
        guidance: float,
    ) -> torch.Tensor:
        """Velocity [B, X] in float32 at an integer timestep in 0..1000; guidance 1 is one pass without guidance."""

    def judged_mask(self, conditioning: Conditioning) -> torch.Tensor:
        """Bool, broadcastable to X: True for latents that are decoded. The others take no part in noise after the
        first, log-probabilities and KL."""

    def decode(self, latents_BX: torch.Tensor, conditioning: Conditioning) -> list[np.ndarray]:
        """Clips of the batch: uint8 RGB frames_THWC each."""

    def save_adapter(self, network: torch.nn.Module, folder: Path) -> None:
        """Writes the trained LoRA weights of `network` to a new folder, in the format in which users of the model load
        them."""


@runtime_checkable
class StatesShift(Protocol):
    """A policy whose checkpoint states the shift of the noise schedule that it was made for."""

    # None where the checkpoint does not say
    flow_shift: float | None


@runtime_checkable
class PreparesPrompts(Protocol):
    """A policy that computes something for all prompts of a run at once, as embeddings by a large text encoder."""

    def prepare_prompts(self, prompts: Sequence[Prompt]) -> None:
        """Called once, before the first `encode`, in every process."""
