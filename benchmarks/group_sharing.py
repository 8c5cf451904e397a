"""A GRPO group on a CPU: real token geometry, small width, the released layout (text behind the video). Cold caches
before every repetition, but for the rows that say warm."""

from __future__ import annotations

import torch

from reward_model.qwen.runner.runner import Runner

from .support import harness
from .support.peers import padded_batch
from .support.workloads import W1_VIDEO, Maker, small_body


def normed(model, hidden: list[torch.Tensor]) -> torch.Tensor:
    return model.language_model.norm(torch.cat(hidden))


def measure(_) -> list[harness.Row]:
    model = small_body()
    runner, group = Runner(model), Maker().group(8, W1_VIDEO, "group")

    def cold():
        runner.clear_caches()
        return normed(model, runner(group))

    def peer():
        return padded_batch(model, group)

    worst = (cold() - peer()).abs().max().item()
    harness.gate(worst <= 1e-5, f"rewards' hidden states differ from transformers by {worst:.2g}, over 1e-5")
    rows = [harness.row("group of 8", "s", "transformers sdpa", *harness.in_turn(cold, peer), goal=3.3, worst=worst)]

    def references_known():
        runner.prefixes.clear()
        return runner(group)

    runner(group)
    warm = harness.in_turn(lambda: runner(group), cold)
    rows.append(harness.row("group of 8, warm prefix", "s", "ours, cold", *warm))
    runner(group)
    rows.append(harness.row("group of 8, warm features", "s", "ours, cold", *harness.in_turn(references_known, cold)))
    return rows


if __name__ == "__main__":
    harness.main("group_sharing", measure)
