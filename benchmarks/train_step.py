"""Time of one training step on preference pairs on a CPU: forward, backward, optimizer.

A pair has two GRPO-sized clips and two references; token counts are those of the released model, layers are narrow.
Ours is one packed forward pass that computes the references of a pair once. The peer is the usual loop of reward
trainers: a padded batch of all A, then one of all B, through transformers.

Gate: losses differ by at most 1e-5, gradients by at most 1e-3 of the largest gradient of the parameter.
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
from .support.workloads import IMAGE_PAD, SMALL_TEXT, SMALL_VISION, VIDEO_PAD, W1_VIDEO, SequenceFactory

PAIRS = 2


def small_model() -> RewardModel:
    """A trainable reward model of the small widths of `support.workloads`."""
    backbone = {
        "text_config": {"bos_token_id": None, "eos_token_id": None, "max_position_embeddings": 32768} | SMALL_TEXT,
        "vision_config": {"out_hidden_size": SMALL_TEXT["hidden_size"]} | SMALL_VISION,
        "image_token_id": IMAGE_PAD,
        "video_token_id": VIDEO_PAD,
    }
    model = RewardModel(RewardModelConfig("small", "1", "none", "", backbone, VIDEO_FIRST, UNIFORM_4, "4.51"))
    model.load_state_dict(random_state(model, 0), assign=True)
    return model.requires_grad_(True).train()


def bradley_terry_loss(rewards_A: torch.Tensor, rewards_B: torch.Tensor) -> torch.Tensor:
    """Bradley-Terry loss with A preferred in every pair; its own cost is negligible."""
    return -logsigmoid(rewards_A - rewards_B).mean()


def measure(_) -> list[harness.Row]:
    factory = SequenceFactory()
    pairs = [factory.group(2, W1_VIDEO, f"pair {n}") for n in range(PAIRS)]
    model, peer_model = PackedRewards(small_model()), small_model()
    peer_model.load_state_dict(deepcopy(model.model.state_dict()))
    optimizers = [torch.optim.AdamW(module.parameters(), lr=0.0) for module in (model, peer_model)]

    def ours() -> torch.Tensor:
        optimizers[0].zero_grad()
        rewards_P2 = model([sequence for pair in pairs for sequence in pair])[:, 0].view(PAIRS, 2)
        loss = bradley_terry_loss(rewards_P2[:, 0], rewards_P2[:, 1])
        loss.backward()
        optimizers[0].step()
        return loss.detach()

    def peer() -> torch.Tensor:
        optimizers[1].zero_grad()
        sides = [peer_model.rewards(padded_rows(peer_model.body, [pair[side] for pair in pairs])) for side in (0, 1)]
        loss = bradley_terry_loss(*sides)
        loss.backward()
        optimizers[1].step()
        return loss.detach()

    difference = abs(ours().item() - peer().item())
    harness.gate(difference <= 1e-5, f"losses differ by {difference:.2g}, over 1e-5")
    for (name, parameter), expected in zip(model.model.named_parameters(), peer_model.parameters(), strict=True):
        error = (parameter.grad - expected.grad).abs().max().item() if expected.grad is not None else 0.0
        scale = expected.grad.abs().max().item() if expected.grad is not None else 1.0
        harness.gate(error <= 1e-3 * scale, f"gradients of {name} differ by {error:.2g} of {scale:.2g}")
    seconds = harness.in_turn(ours, peer)
    return [harness.row(f"step of {PAIRS} pairs", "s", "padded, two forwards", *seconds, goal=1.4)]


if __name__ == "__main__":
    harness.main("train_step", measure)
