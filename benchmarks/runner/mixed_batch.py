"""Scoring time of a batch of unequal items on a CPU: four GRPO rollouts and four evaluation clips.

No two items share references, so nothing is reused. The peer is transformers with a padded batch and `sdpa` attention.

Gate: hidden states at the reward tokens differ from those of transformers by at most 1e-5.
"""

from __future__ import annotations

from reward_model.qwen.runner.config import RunnerConfig
from reward_model.qwen.runner.runner import Runner

from ..support import harness
from ..support.peers import padded_batch
from ..support.workloads import W1_VIDEO, W2_VIDEO, SequenceFactory, small_body
from .group_sharing import final_norm


def measure(_) -> list[harness.Row]:
    model, factory = small_body(), SequenceFactory()
    runner = Runner(model, RunnerConfig(token_budget=65536))
    items = [factory.group(1, video, f"{video}{n}")[0] for n in range(4) for video in (W1_VIDEO, W2_VIDEO)]

    def ours():
        runner.clear_caches()
        return final_norm(model, runner(items))

    def peer():
        return padded_batch(model, items)

    difference = (ours() - peer()).abs().max().item()
    harness.gate(difference <= 1e-5, f"hidden states differ from transformers by {difference:.2g}, over 1e-5")
    times = harness.in_turn(ours, peer)
    return [harness.row("50/50 mix of 8", "s", "transformers sdpa", *times, goal=1.3, worst=difference)]


if __name__ == "__main__":
    harness.main("mixed_batch", measure)
