"""Scoring time of one GRPO group of 8 videos on a CPU: packed forward pass with a shared prefix.

Token counts and layout are those of the released model; layers are narrow. The peer is transformers with a padded batch
and `sdpa` attention. The rows "warm prefix" and "warm features" compare full and partial cache hits with an empty
cache; everything else runs with empty caches.

Gate: hidden states at the reward tokens differ from those of transformers by at most 1e-5.
"""

from __future__ import annotations

import torch

from reward_model.qwen.runner.runner import Runner

from ..support import harness
from ..support.peers import padded_batch
from ..support.workloads import W1_VIDEO, SequenceFactory, small_body


def final_norm(model, hidden: list[torch.Tensor]) -> torch.Tensor:
    """[sequences, hidden]: the runner's hidden states after the final norm, as transformers returns them."""
    return model.language_model.norm(torch.cat(hidden))


def measure(_) -> list[harness.Row]:
    model = small_body()
    runner, group = Runner(model), SequenceFactory().group(8, W1_VIDEO, "group")

    def cold():
        runner.clear_caches()
        return final_norm(model, runner(group))

    def peer():
        return padded_batch(model, group)

    difference = (cold() - peer()).abs().max().item()
    harness.gate(difference <= 1e-5, f"rewards' hidden states differ from transformers by {difference:.2g}, over 1e-5")
    times = harness.in_turn(cold, peer)
    rows = [harness.row("group of 8", "s", "transformers sdpa", *times, goal=3.3, worst=difference)]

    def warm_features():
        runner.prefixes.clear()
        return runner(group)

    runner(group)
    warm_prefix = harness.in_turn(lambda: runner(group), cold)
    rows.append(harness.row("group of 8, warm prefix", "s", "ours, cold", *warm_prefix))
    runner(group)
    rows.append(harness.row("group of 8, warm features", "s", "ours, cold", *harness.in_turn(warm_features, cold)))
    return rows


if __name__ == "__main__":
    harness.main("group_sharing", measure)
