"""Features of several clips as padded tensors.

N samples, P people, T frames, F frame features, C person features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass

import numpy as np
import torch
from torch import Tensor, nn

from .features import FRAME_FEATURES, PERSON_FEATURES, ClipFeatures


@dataclass(frozen=True, eq=False)
class FeatureBatch:
    """Samples padded to equal sizes. A padded person or frame is all NaN."""

    # float32
    frames_NPTF: Tensor
    person_NPC: Tensor
    # bool: False for padding
    people_NP: Tensor
    # float32: worst, mean and copied of `IdentityTerms`
    terms_N3: Tensor

    @classmethod
    def of(cls, clips: Sequence[ClipFeatures]) -> FeatureBatch:
        num_people = max(clip.frames_PTF.shape[0] for clip in clips)
        num_frames = max(clip.frames_PTF.shape[1] for clip in clips)
        frames = np.full((len(clips), num_people, num_frames, len(FRAME_FEATURES)), np.nan, np.float32)
        person = np.full((len(clips), num_people, len(PERSON_FEATURES)), np.nan, np.float32)
        people = np.zeros((len(clips), num_people), bool)
        for n, clip in enumerate(clips):
            P, T = clip.frames_PTF.shape[:2]
            frames[n, :P, :T], person[n, :P], people[n, :P] = clip.frames_PTF, clip.person_PC, True
        terms = np.array([astuple(clip.terms) for clip in clips], np.float32)
        return cls(*(torch.from_numpy(values) for values in (frames, person, people, terms)))

    def __getitem__(self, rows: Tensor) -> FeatureBatch:
        return FeatureBatch(self.frames_NPTF[rows], self.person_NPC[rows], self.people_NP[rows], self.terms_N3[rows])

    def __len__(self) -> int:
        return len(self.people_NP)

    def padded(self, num_people: int, num_frames: int) -> FeatureBatch:
        """Padded to at least these sizes."""
        more_people = max(num_people - self.people_NP.shape[1], 0)
        more_frames = max(num_frames - self.frames_NPTF.shape[2], 0)
        pad = nn.functional.pad
        return FeatureBatch(
            pad(self.frames_NPTF, (0, 0, 0, more_frames, 0, more_people), value=torch.nan),
            pad(self.person_NPC, (0, 0, 0, more_people), value=torch.nan),
            pad(self.people_NP, (0, more_people)),
            self.terms_N3,
        )

    def with_more(self, other: FeatureBatch) -> FeatureBatch:
        """Both batches in one, the other's samples last."""
        sizes = [max(a, b) for a, b in zip(self.frames_NPTF.shape[1:3], other.frames_NPTF.shape[1:3], strict=True)]
        a, b = self.padded(*sizes), other.padded(*sizes)
        return FeatureBatch(
            torch.cat([a.frames_NPTF, b.frames_NPTF]),
            torch.cat([a.person_NPC, b.person_NPC]),
            torch.cat([a.people_NP, b.people_NP]),
            torch.cat([a.terms_N3, b.terms_N3]),
        )
