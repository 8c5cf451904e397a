"""Unlike items in one batch on a CPU: four GRPO rollouts and four evaluators' clips, each with its own references."""

from __future__ import annotations

from reward_model.qwen.runner.config import RunnerConfig
from reward_model.qwen.runner.runner import Runner

from .group_sharing import normed
from .support import harness
from .support.peers import padded_batch
from .support.workloads import W1_VIDEO, W2_VIDEO, Maker, small_body


def measure(_) -> list[harness.Row]:
    model, make = small_body(), Maker()
    runner = Runner(model, RunnerConfig(token_budget=65536))
    items = [make.group(1, video, f"{video}{n}")[0] for n in range(4) for video in (W1_VIDEO, W2_VIDEO)]

    def ours():
        runner.clear_caches()
        return normed(model, runner(items))

    def peer():
        return padded_batch(model, items)

    worst = (ours() - peer()).abs().max().item()
    harness.gate(worst <= 1e-5, f"hidden states differ from transformers by {worst:.2g}, over 1e-5")
    return [
        harness.row("50/50 mix of 8", "s", "transformers sdpa", *harness.in_turn(ours, peer), goal=1.3, worst=worst)
    ]


if __name__ == "__main__":
    harness.main("mixed_batch", measure)
