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
# means of `copies.clip_copies` over a clip's frames: below the first copies are not held against the clip, which may
# begin as its reference image; from the second on it is a copied clip, as one that shows the image every other second
COPY_SHARES = (0.33, 0.42)


@dataclass(frozen=True)
class IdentityTerms:
    """worst: least windowed similarity of the worst person, 0..1. mean: over people and frames, 0..1.

    copied: from 0 for a clip that shows people anew to 1 for one that shows somebody as a copy throughout.
    """

    worst: float
    mean: float
    copied: float


def identity_terms(similarity_PT: np.ndarray, copy_PT: np.ndarray) -> IdentityTerms:
    """similarity_PT: cosines, NaN where a person is absent. copy_PT: `copies.clip_copies`, NaN where absent.

    Absence counts as a similarity of 0, and so do the copies of a copied clip.
    """
    copy_PT = np.nan_to_num(copy_PT, nan=0.0)
    low, high = COPY_SHARES
    copied_P = np.clip((copy_PT.mean(1) - low) / (high - low), 0.0, 1.0)
    similarity_PT = np.clip(np.nan_to_num(similarity_PT, nan=0.0), 0.0, 1.0)
    kept_PT = similarity_PT * (1 - copy_PT * copied_P[:, None])
    return IdentityTerms(float(windowed(kept_PT).min()), float(kept_PT.mean()), float(copied_P.max()))


def windowed(values_PT: np.ndarray) -> np.ndarray:
    """[P, T - WINDOW_FRAMES + 1] means over windows; over the whole clip where it is shorter than a window."""
    size = min(WINDOW_FRAMES, values_PT.shape[1])
    return np.lib.stride_tricks.sliding_window_view(values_PT, size, axis=1).mean(-1)
