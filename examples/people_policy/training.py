"""Pretraining of the portrait encoder and of the transformer.

B samples, P people, K key frames, C = CODE_SIZE; N portraits, V = FEATURES_SIZE, F = REFERENCE_SIZE.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from reward_model.data.seeding import generator, torch_seed

from .network import PeopleTransformer, PortraitEncoder, reference
from .portrait_view import EDGE_CELL_PX, EMBEDDING_SIZE, FEATURES_SIZE, HEAD_PX, NUM_DIRECTIONS
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
RIDGE_STRENGTHS = (0.3, 1.0, 3.0, 10.0, 30.0)
# of face embedding, edges and colours
BLOCK_VARIANCES = (4.0, 1.0, 0.25)


def fit_encoder(portraits: PortraitSet) -> tuple[PortraitEncoder, torch.Tensor]:
    """Ridge regression of codes on the features of portraits, and [N, F] references of these portraits.

    The references are estimated without the portrait itself (leave-one-out in closed form), so that they are as good
    and as bad as those of new people. Every number of a code has the strength of regularization that is best for it.
    """
    features_NV = portraits.features_NV.astype(np.float64)
    mean_V, centre_C = features_NV.mean(0), portraits.codes_NC.astype(np.float64).mean(0)
    scale_V = _block_scale(features_NV)
    x_NV, y_NC = (features_NV - mean_V) * scale_V, portraits.codes_NC - centre_C
    values, vectors_NN = np.linalg.eigh(x_NV @ x_NV.T)
    projected = vectors_NN.T @ y_NC
    best_C = np.full(y_NC.shape[1], np.inf)
    weight_VC, left_out_NC = np.zeros((x_NV.shape[1], y_NC.shape[1])), np.zeros_like(y_NC)
    for strength in RIDGE_STRENGTHS:
        kept = values / (values + strength)
        leverage_N = (vectors_NN**2) @ kept + 1 / len(y_NC)
        residual_NC = (y_NC - vectors_NN @ (kept[:, None] * projected)) / (1 - leverage_N)[:, None]
        error_C = np.square(residual_NC).mean(0)
        better = error_C < best_C
        best_C[better] = error_C[better]
        left_out_NC[:, better] = (y_NC - residual_NC)[:, better]
        weight_VC[:, better] = (x_NV.T @ (vectors_NN @ (projected / (values + strength)[:, None])))[:, better]
    encoder = PortraitEncoder()
    encoder.load_state_dict(
        {"mean_V": _float32(mean_V), "weight_VC": _float32(weight_VC * scale_V[:, None]), "bias_C": _float32(centre_C)}
    )
    return encoder, reference(_float32(left_out_NC + centre_C), torch.from_numpy(portraits.features_NV))


def _block_scale(features_NV: np.ndarray) -> np.ndarray:
    """[V] so that the embedding, edges and colours have total variances of BLOCK_VARIANCES."""
    ends = np.cumsum([EMBEDDING_SIZE, NUM_DIRECTIONS * (HEAD_PX // EDGE_CELL_PX) ** 2])
    block_V = np.searchsorted(ends, np.arange(FEATURES_SIZE), side="right")
    size_V = np.bincount(block_V)[block_V]
    return np.sqrt(np.array(BLOCK_VARIANCES)[block_V] / size_V) / (features_NV.std(0) + 1e-3)


def _float32(values: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(values.astype(np.float32))


def train_flow(
    references_NF: torch.Tensor, codes_NC: np.ndarray, schedule: Schedule, seed: int, on_loss: OnLoss
) -> PeopleTransformer:
    """Flow matching (Lipman et al., arXiv 2210.02747) with logit-normal times on clips of `world`.

    The people of a cast look as their portraits were read, which is all that a policy can know; those who replace them
    are any people. Returns the moving average of the weights.
    """
    torch.manual_seed(torch_seed(seed, "flow"))
    rng = generator(seed, "flow batches")
    read_NC = references_NF[:, : codes_NC.shape[1]].numpy()
    network = PeopleTransformer().train()
    average = deepcopy(network).requires_grad_(False)

    def loss() -> torch.Tensor:
        num_people = 1 if rng.uniform() < ALONE_SHARE else 2
        size = schedule.batch_size
        casts = sample_casts(rng, codes_NC, size, num_people)
        casts = replace(casts, own_BPC=read_NC[casts.own_BP])
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
