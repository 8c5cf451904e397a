"""Pretraining of the portrait encoder and of the transformer. B samples, P people, K key frames, C = CODE_SIZE."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from reward_model.data.seeding import generator, torch_seed

from .ground_truth import weights
from .network import PeopleTransformer, PortraitEncoder
from .portraits import PortraitSet
from .scene import NUM_KEY_FRAMES
from .world import sample_casts, sample_clips, sample_kinds

# (step, loss)
OnLoss = Callable[[int, float], None]


@dataclass(frozen=True)
class Schedule:
    """AdamW with a linear warm-up over 5 % of the steps and a cosine to 0."""

    steps: int
    batch_size: int
    learning_rate: float = 1.5e-3
    weight_decay: float = 0.01

    def factor(self, step: int) -> float:
        warm_up = max(self.steps // 20, 1)
        return min((step + 1) / warm_up, 1.0) * 0.5 * (1 + np.cos(np.pi * step / self.steps))


# of samples: whose references are hidden, for guidance, and who are alone
HIDDEN_SHARE = 0.1
ALONE_SHARE = 0.3
EMA_DECAY = 0.995


def train_encoder(portraits: PortraitSet, schedule: Schedule, seed: int, on_loss: OnLoss) -> PortraitEncoder:
    """Regression of codes on portraits, heads moved by a few pixels and changed in brightness."""
    torch.manual_seed(torch_seed(seed, "encoder"))
    rng = generator(seed, "encoder batches")
    encoder = PortraitEncoder().train()
    heads, embeddings, codes = _tensors(portraits)
    # errors of numbers that shape a face more count more, but no number is ignored
    importance = torch.from_numpy(weights().astype(np.float32)) ** 0.5
    importance /= importance.mean()

    def loss() -> torch.Tensor:
        rows = torch.from_numpy(rng.integers(len(portraits), size=schedule.batch_size))
        dy, dx = (int(n) for n in rng.integers(-3, 4, 2))
        images = torch.roll(heads[rows].float(), (dy, dx), (1, 2))
        images *= torch.from_numpy(rng.uniform(0.85, 1.15, (len(rows), 1, 1, 1)).astype(np.float32))
        errors = encoder(images, embeddings[rows]) - codes[rows]
        return (errors.square() * importance).mean()

    _train(encoder, loss, schedule, on_loss)
    return encoder.eval()


@torch.no_grad()
def reference_features(encoder: PortraitEncoder, portraits: PortraitSet) -> torch.Tensor:
    """[N, F] conditioning of each portrait."""
    heads, embeddings, _ = _tensors(portraits)
    parts = [encoder.reference(h, e) for h, e in zip(heads.split(256), embeddings.split(256), strict=True)]
    return torch.cat(parts)


def train_flow(
    references_NF: torch.Tensor, codes_NC: np.ndarray, schedule: Schedule, seed: int, on_loss: OnLoss
) -> PeopleTransformer:
    """Flow matching (Lipman et al., arXiv 2210.02747) with logit-normal times on clips of `world`.

    Returns the moving average of the weights.
    """
    torch.manual_seed(torch_seed(seed, "flow"))
    rng = generator(seed, "flow batches")
    network = PeopleTransformer().train()
    average = deepcopy(network).requires_grad_(False)

    def loss() -> torch.Tensor:
        num_people = 1 if rng.uniform() < ALONE_SHARE else 2
        size = schedule.batch_size
        casts = sample_casts(rng, codes_NC, size, num_people)
        clips = torch.from_numpy(sample_clips(rng, casts, sample_kinds(rng, size), NUM_KEY_FRAMES))
        references = references_NF[torch.from_numpy(casts.own_BP)]
        references[torch.from_numpy(rng.uniform(size=size) < HIDDEN_SHARE)] = 0
        time_B = torch.sigmoid(torch.from_numpy(rng.standard_normal(size, np.float32)))
        noise = torch.from_numpy(rng.standard_normal(tuple(clips.shape), np.float32))
        t = time_B[:, None, None, None]
        return functional.mse_loss(network((1 - t) * clips + t * noise, time_B, references), noise - clips)

    def update_average() -> None:
        for kept, new in zip(average.parameters(), network.parameters(), strict=True):
            kept.lerp_(new.detach(), 1 - EMA_DECAY)

    _train(network, loss, schedule, on_loss, update_average)
    return average


def _train(
    module: nn.Module,
    loss: Callable[[], torch.Tensor],
    schedule: Schedule,
    on_loss: OnLoss,
    on_step: Callable[[], None] = lambda: None,
) -> None:
    optimizer = torch.optim.AdamW(
        module.parameters(), schedule.learning_rate, (0.9, 0.99), weight_decay=schedule.weight_decay
    )
    for step in range(schedule.steps):
        for group in optimizer.param_groups:
            group["lr"] = schedule.learning_rate * schedule.factor(step)
        value = loss()
        optimizer.zero_grad()
        value.backward()
        nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimizer.step()
        on_step()
        on_loss(step, float(value.detach()))


def _tensors(portraits: PortraitSet) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return tuple(map(torch.from_numpy, (portraits.heads_NHWC, portraits.embeddings_ND, portraits.codes_NC)))
