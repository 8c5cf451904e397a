"""A policy whose clips show identity codes as grey pixels: two people, a code of 8 numbers each, 2 frames.

It was trained on clips of which 25 % show the two exchanged, 20 % one replaced, and 15 % one drifting to another. Its
reward is exact: the cosine between the codes of frames and references.

    python -m tests.trainer.helpers.toy_policy   # trains it again, in a minute
"""

from __future__ import annotations

import io
import math
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional

from identity_reward_client.inputs.tensors import from_pixels
from trainer.errors import PolicyError
from trainer.policies.adapters import save_peft
from trainer.prompts import Prompt

FRAMES, PEOPLE, SIZE = 2, 2, 8
WEIGHTS = Path(__file__).with_name("toy_policy.safetensors")
# grey levels of a code's numbers, which are in [-3, 3] as a rule
MIDDLE, SCALE = 128, 40


class ToyNetwork(nn.Module):
    """Velocity of latents [B, FRAMES * PEOPLE * SIZE + 1]; the last one is not decoded, as a reference frame's."""

    def __init__(self, width: int = 96, blocks: int = 2):
        super().__init__()
        latents = FRAMES * PEOPLE * SIZE + 1
        self.inputs = nn.Linear(latents + PEOPLE * SIZE, width)
        self.time = nn.Linear(16, width)
        self.blocks = nn.ModuleList(ToyBlock(width) for _ in range(blocks))
        self.outputs = nn.Linear(width, latents)

    def forward(self, x, t, codes):
        frequencies = t[:, None] * torch.exp(torch.arange(8) * math.log(300) / 8)
        embedded = functional.silu(self.time(torch.cat([frequencies.sin(), frequencies.cos()], -1)))
        h = self.inputs(torch.cat([x, codes.flatten(1)], -1))
        for block in self.blocks:
            h = block(h, embedded)
        return self.outputs(h)


class ToyBlock(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.up, self.down, self.modulation = (
            nn.Linear(width, 2 * width), nn.Linear(2 * width, width), nn.Linear(width, 2 * width)
        )  # fmt: skip

    def forward(self, h, embedded):
        scale, shift = self.modulation(embedded).chunk(2, -1)
        return h + self.down(functional.silu(self.up(self.norm(h) * (1 + scale) + shift)))


class ToyPolicy:
    """The `VideoPolicy` of the toy; counts its forward passes."""

    lora_targets = ("inputs", "up", "down", "modulation", "outputs")
    fps = 8.0

    def __init__(self, network: nn.Module | None = None):
        self.network = ToyNetwork()
        self.network.load_state_dict({name: x.float() for name, x in load_file(WEIGHTS).items()})
        self.passes = 0

    def encode(self, prompts):
        if any(len(prompt.references) != PEOPLE for prompt in prompts):
            raise PolicyError(f"the toy knows {PEOPLE} people")
        codes = [[read_code(path.read_bytes()) for path in prompt.references] for prompt in prompts]
        return {"codes": torch.tensor(np.array(codes), dtype=torch.float32)}

    def latent_shape(self, conditioning):
        return (FRAMES * PEOPLE * SIZE + 1,)

    def velocity(self, network, latents_BX, timestep, conditioning, guidance):
        self.passes += 1
        return network(latents_BX, torch.full((len(latents_BX),), timestep / 1000), conditioning["codes"])

    def judged_mask(self, conditioning):
        return torch.arange(FRAMES * PEOPLE * SIZE + 1) < FRAMES * PEOPLE * SIZE

    def decode(self, latents_BX, conditioning):
        codes = latents_BX[:, :-1].reshape(-1, FRAMES, PEOPLE, SIZE)
        return list(np.repeat(grey_levels(codes.numpy())[..., None], 3, axis=-1))

    def save_adapter(self, network, folder):
        save_peft(network, folder)


def grey_levels(codes: np.ndarray) -> np.ndarray:
    return np.clip(np.round(MIDDLE + SCALE * codes), 0, 255).astype(np.uint8)


def read_code(png: bytes) -> np.ndarray:
    return (np.asarray(Image.open(io.BytesIO(png)).convert("L"), np.float64)[0] - MIDDLE) / SCALE


def exact_reward(references, video, prompt) -> float:
    """Mean over frames of the smaller of the two cosines, for `FakeRewardClient`."""
    return _reward([image.data for image in references], from_pixels(video.frames))


def clip_reward(prompt: Prompt, frames_THWC: np.ndarray) -> float:
    """The exact reward of a clip."""
    return _reward([path.read_bytes() for path in prompt.references], frames_THWC)


def _reward(references, frames_THWC) -> float:
    shown = (frames_THWC[..., 0].astype(np.float64) - MIDDLE) / SCALE
    codes = np.stack([read_code(png) for png in references])
    cosines = (shown * codes).sum(-1) / np.linalg.norm(shown, axis=-1) / np.linalg.norm(codes, axis=-1)
    return float(cosines.min(-1).mean())


def make_prompts(folder: Path, count: int, seed: int = 0) -> list[Prompt]:
    """Prompts with references of one row of pixels each."""
    folder.mkdir(parents=True, exist_ok=True)
    codes = sample_codes(count, torch.Generator().manual_seed(seed)).numpy()
    prompts = []
    for n in range(count):
        references = tuple(folder / f"{seed}-{n}-{person}.png" for person in range(PEOPLE))
        for person, path in enumerate(references):
            # processes of one run share the files
            if not path.exists():
                Image.fromarray(grey_levels(codes[n, person])[None]).save(path)
        prompts.append(Prompt(f"prompt-{seed}-{n}", f"two people, {n}", references))
    return prompts


def sample_codes(count: int, rng: torch.Generator) -> torch.Tensor:
    return functional.normalize(torch.randn(count, PEOPLE, SIZE, generator=rng), dim=-1) * math.sqrt(SIZE)


def _clips(codes: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
    count = len(codes)
    x, others, kind = codes[:, None].repeat(1, FRAMES, 1, 1), sample_codes(count, rng), torch.rand(count, generator=rng)
    exchanged, replaced = kind < 0.25, (kind >= 0.25) & (kind < 0.45)
    drifting = (kind >= 0.45) & (kind < 0.6)
    x[exchanged] = x[exchanged].flip(2)
    x[replaced, :, 1] = others[replaced, None, 1]
    x[drifting, FRAMES // 2 :, 0] = others[drifting, None, 0]
    x = (x + 0.2 * torch.randn(x.shape, generator=rng)).reshape(count, -1)
    return torch.cat([x, torch.randn(count, 1, generator=rng)], 1)


def _train(num_steps: int = 3000, batch: int = 256) -> None:
    torch.manual_seed(0)
    rng, network = torch.Generator().manual_seed(0), ToyNetwork()
    optimizer = torch.optim.AdamW(network.parameters(), 1e-3)
    for step in range(num_steps):
        optimizer.param_groups[0]["lr"] = 2e-3 * min(1, step / 100) * 0.5 * (1 + math.cos(math.pi * step / num_steps))
        codes = sample_codes(batch, rng)
        x, noise = _clips(codes, rng), torch.randn(batch, FRAMES * PEOPLE * SIZE + 1, generator=rng)
        t = torch.sigmoid(torch.randn(batch, generator=rng))
        velocity = network((1 - t)[:, None] * x + t[:, None] * noise, t, codes)
        loss = functional.mse_loss(velocity, noise - x)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 500 == 0:
            print(step, loss.item(), flush=True)
    save_file({name: x.half().contiguous() for name, x in network.state_dict().items()}, WEIGHTS)


if __name__ == "__main__":
    torch.set_num_threads(1)
    _train()
