"""Time of the vision tower on a CPU for one evaluation clip of 10x480x832.

Ours runs attention windows of equal size in one call; the peer, transformers, makes one call per window.

Gate: the features are bit-equal to those of transformers.
"""

from __future__ import annotations

import torch

from reward_model.qwen.runner.rows import rows_for
from reward_model.qwen.runner.vision import VisionRunner

from ..support import harness
from ..support.workloads import W2_VIDEO, SequenceFactory, small_body


def measure(_) -> list[harness.Row]:
    tower = small_body().visual
    patches, grid = SequenceFactory().patches(W2_VIDEO), torch.tensor([W2_VIDEO])
    ours = VisionRunner(tower, rows_for(torch.device("cpu"), None))

    @torch.inference_mode()
    def peer():
        return tower(patches, grid).pooler_output

    is_equal = torch.equal(ours(patches, [W2_VIDEO]), peer())
    harness.gate(is_equal, "features are not bit-equal to transformers'")
    times = harness.in_turn(lambda: ours(patches, [W2_VIDEO]), peer, rounds=7)
    return [harness.row("tower, 10x480x832", "s", "transformers sdpa", *times, goal=1.15)]


if __name__ == "__main__":
    harness.main("vision_tower", measure)
