"""What all policies over Wan have in common: prompts, references, adapters and the parts of a checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch

from trainer.prompts import Prompt

from .components import load_autoencoder
from .lora import save_for_diffusers
from .options import WanOptions
from .prompt_embeddings import PromptEmbeddings
from .references import ReferenceEncoder
from .vae import WanVae

# attention's linear layers, as in the release
LORA_TARGETS = ("to_q", "to_k", "to_v", "to_out.0")


class WanPolicy:
    """The base of a `VideoPolicy`; a model adds its conditioning, velocity and latents."""

    lora_targets: tuple[str, ...] = LORA_TARGETS

    def __init__(
        self,
        network: torch.nn.Module,
        vae: WanVae,
        embeddings: PromptEmbeddings,
        options: WanOptions,
        fit: Callable[..., torch.Tensor],
        shift: float | None,
    ):
        """`fit(image, height=, width=)` places a reference on the canvas of the videos, as of `references.Fit`; `shift`
        is that of the noise schedule that the model was made for.

        PolicyError for sizes that the network's patches do not fit.
        """
        self.network, self.fps, self.flow_shift = network, options.fps, shift
        self._vae, self._embeddings, self._negative_prompt = vae, embeddings, options.negative_prompt
        config: Any = network.config
        self._size = vae.latent_size(options.num_frames, options.height, options.width, config.patch_size[1])
        self._references = ReferenceEncoder(vae, partial(fit, height=options.height, width=options.width))
        self._dtype: torch.dtype = getattr(torch, options.dtype)
        self._device = next(network.parameters()).device

    def prepare_prompts(self, prompts: Sequence[Prompt]) -> None:
        """Computes the embeddings of all prompts that are not on disk yet."""
        self._embeddings.compute([self._negative_prompt, *(prompt.text for prompt in prompts)])

    def save_adapter(self, network: torch.nn.Module, folder: Path) -> None:
        """See `VideoPolicy.save_adapter`: for `load_lora_weights` of diffusers' pipelines."""
        save_for_diffusers(getattr(network, "module", network), folder)

    def _encode_texts(self, prompts: Sequence[Prompt]) -> torch.Tensor:
        """[B, L, D] on the device, in the network's data type."""
        return torch.stack([self._embeddings.get(prompt.text) for prompt in prompts]).to(self._device, self._dtype)

    @cached_property
    def _negative(self) -> torch.Tensor:
        """Embedding of the negative prompt, [1, L, D]."""
        return self._embeddings.get(self._negative_prompt)[None].to(self._device, self._dtype)


def load_parts(options: WanOptions, device: torch.device | str) -> tuple[WanVae, PromptEmbeddings]:
    """The VAE and the prompt embeddings of a checkpoint. PolicyError for parts that can't be loaded."""
    checkpoint = Path(options.checkpoint)
    vae = WanVae(load_autoencoder(checkpoint, getattr(torch, options.vae_dtype), device))
    dtype = getattr(torch, options.text_dtype)
    return vae, PromptEmbeddings(checkpoint, Path(options.prompt_cache), dtype, options.max_text_tokens, device)
