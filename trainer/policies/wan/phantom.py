"""Phantom as a policy: `trainer.policies.wan.phantom:load_policy`.

Wan's transformer for text with the latents of references after those of the video. Phantom's own code carries latents
for the frames of references too, and overwrites them before each forward pass; here a sample's latents are those of
the video alone, and references are appended in each pass. Shapes: B samples, C channels, R references, T latent frames
of the video; a sample's latents X are C x T x h x w.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from reward_model.training.configs.base import Count, NonNegative
from trainer.errors import PolicyError
from trainer.prompts import Prompt

from ..base import Conditioning
from .components import compile_blocks
from .options import WanOptions, read_options
from .phantom_checkpoint import load_network
from .phantom_references import fit_reference
from .policy import WanPolicy, load_parts
from .prompt_embeddings import PromptEmbeddings
from .vae import WanVae

# of the noise schedule in Phantom's own code. The folder of Wan states that of Wan for text
SHIFT = 5.0


class PhantomOptions(WanOptions):
    """`policy.options` of Phantom."""

    # folder of Wan 2.1 T2V-1.3B in diffusers' layout, with vae, text_encoder and tokenizer; of its transformer only
    # config.json is read
    checkpoint: str
    # file of Phantom's weights as published, .pth or .safetensors
    weights: str
    # references of a prompt at most; as published
    max_references: Count = 4
    # scale of what references change in guidance, 5.0 as published. `guidance` of a sampler is the scale of what the
    # text changes, published as 7.5; where it is 1, there is no guidance by either
    image_guidance: NonNegative = 5.0


class PhantomPolicy(WanPolicy):
    """A `VideoPolicy`. Conditioning: `references` [B, C, R, h, w] and `prompt` [B, L, D], in the network's type."""

    def __init__(self, network: torch.nn.Module, vae: WanVae, embeddings: PromptEmbeddings, options: PhantomOptions):
        """`network` is a WanTransformer3DModel. PolicyError for parts and sizes that do not fit each other."""
        config: Any = network.config
        if config.in_channels != vae.channels:
            raise PolicyError(
                f"the transformer takes latents of {config.in_channels} channels; the VAE makes {vae.channels}"
            )
        super().__init__(network, vae, embeddings, options, fit_reference, SHIFT)
        self._options = options
        self._shape = (vae.channels, *self._size)

    def encode(self, prompts: Sequence[Prompt]) -> Conditioning:
        """See `VideoPolicy.encode`. Without references the policy is that of Wan for text."""
        self._require_references(prompts)
        references = [self._encode_references(prompt.references) for prompt in prompts]
        return {
            "references": torch.stack(references).to(self._device, self._dtype),
            "prompt": self._encode_texts(prompts),
        }

    def latent_shape(self, conditioning: Conditioning) -> tuple[int, ...]:
        """See `VideoPolicy.latent_shape`: that of the video alone."""
        return self._shape

    def velocity(
        self,
        network: torch.nn.Module,
        latents_BX: torch.Tensor,
        timestep: int,
        conditioning: Conditioning,
        guidance: float,
    ) -> torch.Tensor:
        """See `VideoPolicy.velocity`.

        With guidance, neg + image_guidance (image - neg) + guidance (both - image), of passes with references and
        prompt (both), references and negative prompt (image), and neither (neg).
        """
        self._require_size(latents_BX, conditioning)
        references, prompt = conditioning["references"], conditioning["prompt"]
        latents = latents_BX.to(self._dtype)
        both = _forward(network, latents, timestep, references, prompt)
        if guidance == 1:
            return both
        negative = self._negative.expand(len(latents), -1, -1)
        image = _forward(network, latents, timestep, references, negative)
        by_text = guidance * (both - image)
        scale = self._options.image_guidance
        if scale == 1 or not references.shape[2]:
            return image + by_text
        # zeros as normalised latents, as in Phantom's own code; no image has them
        neg = _forward(network, latents, timestep, torch.zeros_like(references), negative)
        return neg + scale * (image - neg) + by_text

    def judged_mask(self, conditioning: Conditioning) -> torch.Tensor:
        """See `VideoPolicy.judged_mask`: all of them."""
        return torch.ones(1, 1, 1, 1, dtype=torch.bool, device=self._device)

    def decode(self, latents_BX: torch.Tensor, conditioning: Conditioning) -> list[np.ndarray]:
        """See `VideoPolicy.decode`."""
        self._require_size(latents_BX, conditioning)
        return self._vae.decode(latents_BX)

    def _encode_references(self, paths: Sequence[Path]) -> torch.Tensor:
        """[C, R, h, w], in the order of the prompt."""
        if not paths:
            channels, _, *size = self._shape
            return torch.zeros(channels, 0, *size)
        return self._references.encode(paths).transpose(0, 1)

    def _require_references(self, prompts: Sequence[Prompt]) -> None:
        counts = {len(prompt.references) for prompt in prompts}
        if len(counts) != 1 or max(counts) > self._options.max_references:
            raise PolicyError(
                f"prompts of one batch have equally many references, at most {self._options.max_references}; "
                f"these have {', '.join(map(str, sorted(counts)))}"
            )

    def _require_size(self, latents_BX: torch.Tensor, conditioning: Conditioning) -> None:
        """Samples of one forward pass have one number of frames and one resolution, those of the policy."""
        size = tuple(conditioning["references"].shape[3:])
        if tuple(latents_BX.shape[1:]) != self._shape or size != self._shape[2:]:
            raise PolicyError(
                f"latents of {tuple(latents_BX.shape[1:])} with references of {size} are of another resolution than "
                f"the policy's videos, whose latents are {self._shape}"
            )


def load_policy(device: torch.device | str, **options: Any) -> PhantomPolicy:
    """The policy of a checkpoint, with `options` as of `PhantomOptions`. PolicyError for parts that can't be loaded."""
    chosen = read_options(PhantomOptions, options)
    network = load_network(Path(chosen.weights), Path(chosen.checkpoint), getattr(torch, chosen.dtype), device)
    vae, embeddings = load_parts(chosen, device)
    if chosen.compile_backend is not None:
        compile_blocks(network, chosen.compile_backend)
    return PhantomPolicy(network, vae, embeddings, chosen)


def _forward(
    network: torch.nn.Module,
    latents_BCThw: torch.Tensor,
    timestep: int,
    references_BCRhw: torch.Tensor,
    prompt_BLD: torch.Tensor,
) -> torch.Tensor:
    """The velocity of the video; what the network says about the frames of references has no use."""
    frames = latents_BCThw.shape[2]
    output = network(
        hidden_states=torch.cat([latents_BCThw, references_BCRhw], 2),
        timestep=torch.full((len(latents_BCThw),), timestep, device=latents_BCThw.device),
        encoder_hidden_states=prompt_BLD,
        return_dict=False,
    )
    velocity: torch.Tensor = output[0][:, :, :frames]
    return velocity.float()
