"""The main term of the `face-tracks` reward: how similar the worst person is in their worst moment.

Monotone by construction, for a given assignment of faces to people: no similarity that falls, no face that is removed
and no face that turns into a copy raises a term.

P people, T frames.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# frames of a window: a second of a clip of four seconds. One bad frame is no collapse, a quarter of a clip is
WINDOW_FRAMES = 4
# shares of a clip's frames that show a copy of the reference, below which it is not held against the clip (a video that
# starts from the reference image does so), and from which it is a copied clip
COPY_SHARES = (0.25, 0.5)


@dataclass(frozen=True)
class IdentityTerms:
    """worst: least windowed similarity of the worst person, 0..1. mean: over people and frames, 0..1.

    copied: 0 for a clip that shows nobody as a copy of their reference, 1 for one that shows somebody so for half of
    its frames or more.
    """

    worst: float
    mean: float
    copied: float


def identity_terms(similarity_PT: np.ndarray, copy_PT: np.ndarray) -> IdentityTerms:
    """similarity_PT: cosines, NaN where a person is absent. copy_PT: `copies.copy_share`, NaN where absent.

    Absence counts as a similarity of 0, and so does a copy.
    """
    copy_PT = np.nan_to_num(copy_PT, nan=0.0)
    kept_PT = np.clip(np.nan_to_num(similarity_PT, nan=0.0), 0.0, 1.0) * (1 - copy_PT)
    low, high = COPY_SHARES
    copied = np.clip((copy_PT.mean(1).max() - low) / (high - low), 0.0, 1.0)
    return IdentityTerms(float(windowed(kept_PT).min()), float(kept_PT.mean()), float(copied))


def windowed(values_PT: np.ndarray) -> np.ndarray:
    """[P, T - WINDOW_FRAMES + 1] means over windows; over the whole clip where it is shorter than a window."""
    size = min(WINDOW_FRAMES, values_PT.shape[1])
    return np.lib.stride_tricks.sliding_window_view(values_PT, size, axis=1).mean(-1)
