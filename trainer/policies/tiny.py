"""A policy of toy size with random weights, to try the wiring of a run: `trainer.policies.tiny:load`.

Its clips are coloured noise. Shapes: B samples, R references, X = [T, H, W, 3] latents, one for each pixel of a tile.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from ..errors import PolicyError
from ..prompts import Prompt
from ..prompts.references import read_upright
from .adapters import save_peft
from .base import Conditioning

MAX_REFERENCES = 3
_SHAPE = (4, 6, 8, 3)
# pixels of a latent's tile
_TILE = 8
_REFERENCE_SIDE = 8
_FREQUENCIES = 16


class TinyNetwork(torch.nn.Module):
    """Velocity [B, X] of latents [B, X] at time [B] in 0..1, with reference pixels [B, R, P] and a mask [B, R]."""

    def __init__(self, width: int) -> None:
        super().__init__()
        size = int(np.prod(_SHAPE))
        self.latents = torch.nn.Linear(size, width)
        self.time = torch.nn.Linear(2 * _FREQUENCIES, width)
        self.reference = torch.nn.Linear(3 * _REFERENCE_SIDE**2, width)
        self.hidden = torch.nn.Linear(width, width)
        self.output = torch.nn.Linear(width, size)

    def forward(
        self, latents_BX: torch.Tensor, time_B: torch.Tensor, references_BRP: torch.Tensor, mask_BR: torch.Tensor
    ) -> torch.Tensor:
        """See the class."""
        angles = time_B[:, None] * torch.exp2(torch.arange(_FREQUENCIES, device=time_B.device) / 2)
        # the order of references matters: each has a weight of its own
        weights = mask_BR / (1 + torch.arange(mask_BR.shape[1], device=mask_BR.device))
        state = self.latents(latents_BX.flatten(1)) + self.time(torch.cat([angles.sin(), angles.cos()], -1))
        state = state + (self.reference(references_BRP) * weights[..., None]).sum(1)
        state = state + self.hidden(torch.nn.functional.silu(state))
        return self.output(torch.nn.functional.silu(state)).view_as(latents_BX)


class TinyPolicy:
    """A `VideoPolicy` for tests and first steps."""

    lora_targets = ("reference", "hidden", "output")
    fps = 8.0

    def __init__(self, network: TinyNetwork, device: torch.device) -> None:
        self.network: torch.nn.Module = network.to(device)
        self.device = device

    def encode(self, prompts: Sequence[Prompt]) -> Conditioning:
        """See `VideoPolicy.encode`. The text is not used."""
        counts = {len(prompt.references) for prompt in prompts}
        if len(counts) != 1 or not 1 <= min(counts) <= MAX_REFERENCES:
            raise PolicyError(f"prompts of one batch have equally many references, 1 to {MAX_REFERENCES} of them")
        pixels = [[_read(path) for path in prompt.references] for prompt in prompts]
        references_BRP = torch.tensor(np.array(pixels), device=self.device)
        return {"references": references_BRP, "mask": torch.ones(references_BRP.shape[:2], device=self.device)}

    def latent_shape(self, conditioning: Conditioning) -> tuple[int, ...]:
        """See `VideoPolicy.latent_shape`."""
        return _SHAPE

    def velocity(
        self,
        network: torch.nn.Module,
        latents_BX: torch.Tensor,
        timestep: int,
        conditioning: Conditioning,
        guidance: float,
    ) -> torch.Tensor:
        """See `VideoPolicy.velocity`; without references for guidance."""
        time_B = torch.full((len(latents_BX),), timestep / 1000, device=latents_BX.device)
        references, mask = conditioning["references"], conditioning["mask"]
        velocity: torch.Tensor = network(latents_BX, time_B, references, mask)
        if guidance != 1:
            without = network(latents_BX, time_B, references, torch.zeros_like(mask))
            velocity = without + guidance * (velocity - without)
        return velocity.float()

    def judged_mask(self, conditioning: Conditioning) -> torch.Tensor:
        """See `VideoPolicy.judged_mask`: all of them."""
        return torch.ones(_SHAPE, dtype=torch.bool)

    def decode(self, latents_BX: torch.Tensor, conditioning: Conditioning) -> list[np.ndarray]:
        """See `VideoPolicy.decode`: every latent is a tile of one colour."""
        levels = ((latents_BX.float().clamp(-2, 2) + 2) * 63.75).round().to(torch.uint8).cpu().numpy()
        return list(levels.repeat(_TILE, axis=2).repeat(_TILE, axis=3))

    def save_adapter(self, network: torch.nn.Module, folder: Path) -> None:
        """See `VideoPolicy.save_adapter`: as PEFT."""
        save_peft(network, folder)


def load(device: torch.device, width: int = 64, seed: int = 0) -> TinyPolicy:
    """The policy with random weights of a seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return TinyPolicy(TinyNetwork(width), device)


def _read(path: Path) -> np.ndarray:
    """float32 [P] in -1..1 of a small picture."""
    try:
        image = read_upright(path).resize((_REFERENCE_SIDE, _REFERENCE_SIDE))
    except OSError as error:
        raise PolicyError(f"{path} is no image: {error}") from None
    return (np.asarray(image, np.float32) / 127.5 - 1).ravel()
