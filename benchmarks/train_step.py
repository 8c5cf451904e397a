"""A training step on preference pairs on a CPU: two GRPO-sized clips a pair with two references, real token geometry.

Ours is one packed forward in which a pair's references are computed once; the peer is the usual loop of reward
trainers: the batch of A padded, then the batch of B padded, through transformers.
"""

from __future__ import annotations

from copy import deepcopy

import torch
from torch.nn.functional import logsigmoid

from reward_model.config import UNIFORM_4, RewardModelConfig
from reward_model.qwen.model import RewardModel
from reward_model.qwen.prompt import VIDEO_FIRST
from reward_model.qwen.tiny import random_state
from reward_model.training.models.packed import PackedRewards

from .support import harness
from .support.peers import padded_rows
from .support.workloads import IMAGE_PAD, SMALL_TEXT, SMALL_VISION, VIDEO_PAD, W1_VIDEO, Maker

PAIRS = 2


def small_model() -> RewardModel:
    backbone = {
        "text_config": {"bos_token_id": None, "eos_token_id": None, "max_position_embeddings": 32768} | SMALL_TEXT,
        "vision_config": {"out_hidden_size": SMALL_TEXT["hidden_size"]} | SMALL_VISION,
        "image_token_id": IMAGE_PAD,
        "video_token_id": VIDEO_PAD,
    }
    model = RewardModel(RewardModelConfig("small", "1", "none", "", backbone, VIDEO_FIRST, UNIFORM_4, "4.51"))
    model.load_state_dict(random_state(model, 0), assign=True)
    return model.requires_grad_(True).train()


def loss_of(rewards_A: torch.Tensor, rewards_B: torch.Tensor) -> torch.Tensor:
    """Plain Bradley-Terry with A the better one: the loss's own cost is nothing here."""
    return -logsigmoid(rewards_A - rewards_B).mean()


def measure(_) -> list[harness.Row]:
    make = Maker()
    pairs = [make.group(2, W1_VIDEO, f"pair {n}") for n in range(PAIRS)]
    model, usual = PackedRewards(small_model()), small_model()
    usual.load_state_dict(deepcopy(model.model.state_dict()))
    optimizers = [torch.optim.AdamW(module.parameters(), lr=0.0) for module in (model, usual)]

    def ours() -> torch.Tensor:
        optimizers[0].zero_grad()
        rewards = model([sequence for pair in pairs for sequence in pair])[:, 0].view(PAIRS, 2)
        loss = loss_of(rewards[:, 0], rewards[:, 1])
        loss.backward()
        optimizers[0].step()
        return loss.detach()

    def peer() -> torch.Tensor:
        optimizers[1].zero_grad()
        sides = [usual.rewards(padded_rows(usual.body, [pair[side] for pair in pairs])) for side in (0, 1)]
        loss = loss_of(*sides)
        loss.backward()
        optimizers[1].step()
        return loss.detach()

    difference = abs(ours().item() - peer().item())
    harness.gate(difference <= 1e-5, f"losses differ by {difference:.2g}, over 1e-5")
    for (name, one), other in zip(model.model.named_parameters(), usual.parameters(), strict=True):
        worst = (one.grad - other.grad).abs().max().item() if other.grad is not None else 0.0
        scale = other.grad.abs().max().item() if other.grad is not None else 1.0
        harness.gate(worst <= 1e-3 * scale, f"gradients of {name} differ by {worst:.2g} of {scale:.2g}")
    seconds = harness.in_turn(ours, peer)
    return [harness.row(f"step of {PAIRS} pairs", "s", "padded, two forwards", *seconds, goal=1.4)]


if __name__ == "__main__":
    harness.main("train_step", measure)
