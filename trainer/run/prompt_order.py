"""Which prompts a rollout has: a function of the seed and its number, so that a resumed run continues in order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from reward_model.data.seeding import generator

from ..prompts import Prompt


def prompts_of_rollout(prompts: Sequence[Prompt], count: int, number: int, seed: int) -> list[tuple[str, Prompt]]:
    """`count` prompts of rollout 0, 1, ... with keys that differ within it.

    Every prompt comes once in a pass over all of them, in an order of its own for each pass.
    """
    groups: list[tuple[str, Prompt]] = []
    seen: Counter[str] = Counter()
    for position in range(number * count, (number + 1) * count):
        epoch, index = divmod(position, len(prompts))
        order = generator(seed, "prompts", epoch).permutation(len(prompts))
        prompt = prompts[order[index]]
        seen[prompt.key] += 1
        repeated = f" #{seen[prompt.key]}" if seen[prompt.key] > 1 else ""
        groups.append((f"{prompt.key}{repeated}", prompt))
    return groups
