"""The cast that a clip should show, and edits of single parts of a clip plan that corruptions are made of."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..scenes.clip_plan import ClipPlan
from ..scenes.portrait import Portrait

# from this severity on, corruptions that last to the end of a clip cover all of it
FULL_CLIP_SEVERITY = 0.8


@dataclass(frozen=True)
class Cast:
    """The people who should be in a clip, from left to right; their portraits are the references.

    `seed`: their random impostors depend on it.
    """

    seed: int
    portraits: tuple[Portrait, ...]


def start_of(severity: float) -> float:
    """Where in the clip (0 first frame, 1 last) a corruption of this severity begins, if it lasts to the end."""
    return 0.0 if severity >= FULL_CLIP_SEVERITY else 1 - severity


def edit_part(plan: ClipPlan, index: int, **changes: Any) -> ClipPlan:
    """The plan with fields of part `index` replaced."""
    parts = list(plan.parts)
    parts[index] = replace(parts[index], **changes)
    return replace(plan, parts=tuple(parts))


def sample_whole_part(plan: ClipPlan, rng: np.random.Generator) -> int:
    """Index of a random part that is shown from start to end; of any part if there is no such one."""
    whole = [n for n, part in enumerate(plan.parts) if part.shown == (0.0, 1.0)]
    return int(rng.choice(whole or list(range(len(plan.parts)))))
