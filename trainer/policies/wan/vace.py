"""VACE as a policy: `trainer.policies.wan.vace:load_policy`.

diffusers' transformer with a preparation of our own, since its pipeline takes one video at a time. Shapes: B samples, R
references, T latent frames of the video. A sample's latents X are 16 x (R + T) x h x w; the first R frames are those of
references, which the pipeline denoises too and drops.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from reward_model.training.configs.base import Count
from trainer.errors import PolicyError
from trainer.prompts import Prompt

from ..base import Conditioning
from .components import compile_blocks, flow_shift, load_transformer
from .options import WanOptions, read_options
from .policy import LORA_TARGETS, WanPolicy, load_parts
from .prompt_embeddings import PromptEmbeddings
from .vace_control import MASK_CHANNELS, ReferenceOrder, control_of, fit_reference
from .vae import WanVae

_TRANSFORMER = "WanVACETransformer3DModel"
# the transformer's blocks that take the video; the others, vace_blocks, take the control
_MAIN_BLOCKS = "blocks."


class VaceOptions(WanOptions):
    """`policy.options` of VACE."""

    # references of a prompt at most; the reward takes eight
    max_references: Count = 8
    # in which order the control has the references: diffusers, as the release trained with, or vace, the original code
    reference_order: ReferenceOrder = "diffusers"
    # LoRA also in the blocks of the control, 360 layers of VACE-1.3B, as in the release; otherwise 240
    adapt_control_blocks: bool = True


class VacePolicy(WanPolicy):
    """A `VideoPolicy`. Conditioning: `control` [B, 96, R + T, h, w] and `prompt` [B, L, D], in the network's type."""

    def __init__(
        self,
        network: torch.nn.Module,
        vae: WanVae,
        embeddings: PromptEmbeddings,
        options: VaceOptions,
        shift: float | None = None,
    ):
        """`network` is a WanVACETransformer3DModel, `shift` that of the checkpoint's noise schedule.

        PolicyError for parts and sizes that do not fit each other.
        """
        config: Any = network.config
        if config.vace_in_channels != 2 * vae.channels + MASK_CHANNELS or config.in_channels != vae.channels:
            raise PolicyError(
                f"the transformer takes latents of {config.in_channels} channels and a control of "
                f"{config.vace_in_channels}; the VAE's {vae.channels} channels make {2 * vae.channels + MASK_CHANNELS}"
            )
        super().__init__(network, vae, embeddings, options, fit_reference, shift)
        self._options = options
        if not options.adapt_control_blocks:
            self.lora_targets = _main_targets(network)

    def encode(self, prompts: Sequence[Prompt]) -> Conditioning:
        """See `VideoPolicy.encode`."""
        self._require_references(prompts)
        controls = [
            control_of(self._references.encode(prompt.references), self._zeros, self._options.reference_order)
            for prompt in prompts
        ]
        return {
            "control": torch.stack(controls).to(self._device, self._dtype),
            "prompt": self._encode_texts(prompts),
        }

    def latent_shape(self, conditioning: Conditioning) -> tuple[int, ...]:
        """See `VideoPolicy.latent_shape`."""
        return (self._vae.channels, *conditioning["control"].shape[2:])

    def velocity(
        self,
        network: torch.nn.Module,
        latents_BX: torch.Tensor,
        timestep: int,
        conditioning: Conditioning,
        guidance: float,
    ) -> torch.Tensor:
        """See `VideoPolicy.velocity`; guidance moves away from the negative prompt, with the same control."""
        self._require_size(latents_BX, conditioning)
        latents, prompt = latents_BX.to(self._dtype), conditioning["prompt"]
        time_B = torch.full((len(latents),), timestep, device=latents.device)
        velocity = _forward(network, latents, time_B, prompt, conditioning["control"])
        if guidance == 1:
            return velocity
        negative = self._negative.expand(len(latents), -1, -1)
        without = _forward(network, latents, time_B, negative, conditioning["control"])
        return without + guidance * (velocity - without)

    def judged_mask(self, conditioning: Conditioning) -> torch.Tensor:
        """See `VideoPolicy.judged_mask`: all but the frames of references."""
        frames = torch.arange(conditioning["control"].shape[2], device=self._device)
        return (frames >= self._num_references(conditioning)).view(1, -1, 1, 1)

    def decode(self, latents_BX: torch.Tensor, conditioning: Conditioning) -> list[np.ndarray]:
        """See `VideoPolicy.decode`. Every frame is decoded, since the VAE's later frames need those before."""
        self._require_size(latents_BX, conditioning)
        return self._vae.decode(latents_BX[:, :, self._num_references(conditioning) :])

    @cached_property
    def _zeros(self) -> torch.Tensor:
        """Latents [C, T, h, w] of a clip of zeros, mid-grey: what the control has in place of a video."""
        options = self._options
        return self._vae.encode(torch.zeros(3, options.num_frames, options.height, options.width)).cpu()

    def _num_references(self, conditioning: Conditioning) -> int:
        return conditioning["control"].shape[2] - self._size[0]

    def _require_references(self, prompts: Sequence[Prompt]) -> None:
        counts = {len(prompt.references) for prompt in prompts}
        most = self._options.max_references
        if len(counts) != 1 or not 1 <= min(counts) <= most:
            raise PolicyError(
                f"prompts of one batch have equally many references, 1 to {most} of them; "
                f"these have {', '.join(map(str, sorted(counts)))}"
            )
        if max(counts) > self._size[0]:
            raise PolicyError(
                f"{max(counts)} references need as many latent frames, as in diffusers' pipeline; num_frames "
                f"{self._options.num_frames} has {self._size[0]}"
            )

    def _require_size(self, latents_BX: torch.Tensor, conditioning: Conditioning) -> None:
        """Samples of one forward pass have one number of frames and one resolution, those of the policy."""
        frames, *size = conditioning["control"].shape[2:]
        expected = (self._vae.channels, frames, *self._size[1:])
        if tuple(latents_BX.shape[1:]) != expected or tuple(size) != self._size[1:]:
            raise PolicyError(
                f"latents of {tuple(latents_BX.shape[1:])} with a control of {(frames, *size)} are of another "
                f"resolution than the policy's videos, whose latents are {expected}"
            )


def load_policy(device: torch.device | str, **options: Any) -> VacePolicy:
    """The policy of a checkpoint, with `options` as of `VaceOptions`. PolicyError for parts that can't be loaded."""
    chosen = read_options(VaceOptions, options)
    checkpoint = Path(chosen.checkpoint)
    network = load_transformer(_TRANSFORMER, checkpoint, getattr(torch, chosen.dtype), device)
    vae, embeddings = load_parts(chosen, device)
    if chosen.compile_backend is not None:
        compile_blocks(network, chosen.compile_backend)
    return VacePolicy(network, vae, embeddings, chosen, flow_shift(checkpoint))


def _forward(
    network: torch.nn.Module,
    latents: torch.Tensor,
    time_B: torch.Tensor,
    prompt: torch.Tensor,
    control: torch.Tensor,
) -> torch.Tensor:
    output = network(
        hidden_states=latents,
        timestep=time_B,
        encoder_hidden_states=prompt,
        control_hidden_states=control,
        return_dict=False,
    )
    velocity: torch.Tensor = output[0]
    return velocity.float()


def _main_targets(network: torch.nn.Module) -> tuple[str, ...]:
    """Whole names: those of the control's blocks end in the same words."""
    return tuple(
        name
        for name, module in network.named_modules()
        if isinstance(module, torch.nn.Linear) and name.startswith(_MAIN_BLOCKS) and name.endswith(LORA_TARGETS)
    )
