"""The policy: a `trainer.policies.base.VideoPolicy` whose decoder is a renderer.

B samples, P people, K key frames, C = CODE_SIZE. A sample's latents X are P x K x C.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from reward_model.data.people.appearance.person_code import CODE_SIZE
from trainer.errors import PolicyError
from trainer.policies.adapters import save_peft
from trainer.policies.base import Conditioning
from trainer.prompts import Prompt

from .adapter import merge_adapter
from .network import LORA_TARGETS, PeopleTransformer, PortraitEncoder
from .portrait_view import PortraitReader
from .rendering import RenderPool
from .scene import CLIP_SIZE, MAX_PEOPLE, NUM_KEY_FRAMES, scene_seed

WEIGHTS = Path(__file__).parent / "weights.safetensors"


class PeoplePolicy:
    """Generates the identities of one or two people at a few key frames; all else follows from the prompt's key.

    Conditioning: `references` [B, P, F] float32 and `scene` [B] int64.
    """

    lora_targets = LORA_TARGETS
    fps = CLIP_SIZE.fps

    def __init__(
        self, network: nn.Module, encoder: PortraitEncoder, device: str | torch.device = "cpu", render_workers: int = 2
    ):
        """The encoder is frozen; `network` is trained in place."""
        self.network = network.to(device)
        self.device = torch.device(device)
        self._encoder = encoder.to(device).eval().requires_grad_(False)
        self._portraits = PortraitReader()
        self._renderers = RenderPool(render_workers)

    @torch.no_grad()
    def encode(self, prompts: Sequence[Prompt]) -> Conditioning:
        """See `VideoPolicy.encode`."""
        counts = {len(prompt.references) for prompt in prompts}
        if len(counts) != 1 or not 1 <= min(counts) <= MAX_PEOPLE:
            raise PolicyError(
                f"prompts of one batch have equally many references, 1 to {MAX_PEOPLE} of them; "
                f"these have {', '.join(map(str, sorted(counts)))}"
            )
        views = [self._portraits.read(path) for prompt in prompts for path in prompt.references]
        # one at a time: a prompt's conditioning does not depend on the others in the batch
        references = [self._encoder(torch.from_numpy(view_V)[None].to(self.device)) for view_V in views]
        seeds = [scene_seed(prompt.key) for prompt in prompts]
        return {
            "references": torch.cat(references).view(len(prompts), min(counts), -1),
            "scene": torch.tensor(seeds, dtype=torch.int64, device=self.device),
        }

    def latent_shape(self, conditioning: Conditioning) -> tuple[int, ...]:
        """See `VideoPolicy.latent_shape`."""
        return (conditioning["references"].shape[1], NUM_KEY_FRAMES, CODE_SIZE)

    def velocity(
        self,
        network: nn.Module,
        latents_BX: torch.Tensor,
        timestep: int,
        conditioning: Conditioning,
        guidance: float,
    ) -> torch.Tensor:
        """See `VideoPolicy.velocity`."""
        latents_BX, references = latents_BX.float(), conditioning["references"].float()
        time_B = torch.full((len(latents_BX),), timestep / 1000, device=latents_BX.device)
        with_references = network(latents_BX, time_B, references)
        if guidance == 1:
            return with_references.float()
        without = network(latents_BX, time_B, torch.zeros_like(references))
        return (without + guidance * (with_references - without)).float()

    def judged_mask(self, conditioning: Conditioning) -> torch.Tensor:
        """See `VideoPolicy.judged_mask`: every latent is decoded."""
        return torch.ones(self.latent_shape(conditioning), dtype=torch.bool, device=self.device)

    def decode(self, latents_BX: torch.Tensor, conditioning: Conditioning) -> list[np.ndarray]:
        """See `VideoPolicy.decode`."""
        codes_BPKC = latents_BX.detach().float().cpu().numpy()
        return self._renderers.clips(conditioning["scene"].tolist(), codes_BPKC)

    def save_adapter(self, network: nn.Module, folder: Path) -> None:
        """See `VideoPolicy.save_adapter`: a PEFT adapter, for the option `adapter` of `load_policy`."""
        save_peft(getattr(network, "module", network), folder)

    def close(self) -> None:
        """Ends the processes that render; they also end with this process."""
        self._renderers.close()


def load_policy(
    *,
    weights: str | None = None,
    adapter: str | None = None,
    device: str | torch.device = "cpu",
    render_workers: int = 2,
) -> PeoplePolicy:
    """The pretrained policy. PolicyError for weights or an adapter that cannot be loaded.

    weights: file of `examples.people_policy.pretrain`; those that ship if absent.
    adapter: folder of a trained adapter, which is merged into the weights.
    render_workers: processes that render clips.
    """
    path = Path(weights) if weights else WEIGHTS
    network, encoder = load_networks(path)
    return PeoplePolicy(merge_adapter(network, Path(adapter)) if adapter else network, encoder, device, render_workers)


def load_networks(path: Path) -> tuple[PeopleTransformer, PortraitEncoder]:
    """PolicyError for a file that is missing or not one of `save_networks`."""
    network, encoder = PeopleTransformer(), PortraitEncoder()
    try:
        tensors = load_file(path)
        for name, module in (("network", network), ("encoder", encoder)):
            start = f"{name}."
            module.load_state_dict({k.removeprefix(start): v for k, v in tensors.items() if k.startswith(start)})
    except Exception as error:  # safetensors raises bare Exception subclasses of its own
        raise PolicyError(f"the weights {path} cannot be loaded: {error}") from None
    return network, encoder


def save_networks(path: Path, network: nn.Module, encoder: nn.Module) -> None:
    """Both networks in one safetensors file."""
    tensors = {f"network.{name}": tensor for name, tensor in network.state_dict().items()}
    tensors |= {f"encoder.{name}": tensor for name, tensor in encoder.state_dict().items()}
    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, path)
