"""The reward head of `face-tracks`: a small network from features of people and frames to one reward.

Each person on their own: standardized features, a convolution over time, pooling over frames. Then all people together:
mean and minimum, so that the worst person counts. Several members of different seeds are averaged.

N samples, P people, T frames, F frame features, C person features, H hidden, V person vector, M members.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from .features import FRAME_FEATURES, PERSON_FEATURES, ClipFeatures
from .head_config import FEATURE_LIMIT, TrackHeadConfig
from .head_inference import HeadInference


@dataclass(frozen=True, eq=False)
class FeatureBatch:
    """Samples padded to equal sizes. A padded person or frame is all NaN."""

    # float32
    frames_NPTF: Tensor
    person_NPC: Tensor
    # bool: False for padding
    people_NP: Tensor

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
        return cls(torch.from_numpy(frames), torch.from_numpy(person), torch.from_numpy(people))

    def __getitem__(self, rows: Tensor) -> FeatureBatch:
        return FeatureBatch(self.frames_NPTF[rows], self.person_NPC[rows], self.people_NP[rows])

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
        )

    def with_more(self, other: FeatureBatch) -> FeatureBatch:
        """Both batches in one, the other's samples last."""
        sizes = [max(a, b) for a, b in zip(self.frames_NPTF.shape[1:3], other.frames_NPTF.shape[1:3], strict=True)]
        a, b = self.padded(*sizes), other.padded(*sizes)
        return FeatureBatch(
            torch.cat([a.frames_NPTF, b.frames_NPTF]),
            torch.cat([a.person_NPC, b.person_NPC]),
            torch.cat([a.people_NP, b.people_NP]),
        )


class _Member(nn.Module):
    """The network of one seed. Parameter names are those of stored weights."""

    def __init__(self, config: TrackHeadConfig):
        super().__init__()
        F, C, H = len(config.frame_features), len(config.person_features), config.hidden
        self.embed = nn.Linear(F, H)
        # a convolution over three frames as one matrix product: a convolution would spread tiny work over threads
        self.time = nn.Linear(3 * H, H)
        self.attention = nn.Linear(H, 1)
        # pooled features (mean, min, max, std), pooled hidden units (mean, max, attention), and person features
        self.person = nn.Sequential(nn.Linear(4 * F + 3 * H + C, 2 * H), nn.GELU(), nn.Dropout(0.1))
        self.vector = nn.Linear(2 * H, config.person_width)
        self.out = nn.Sequential(nn.Linear(2 * config.person_width, H), nn.GELU(), nn.Linear(H, 1))
        # a linear shortcut, so that little data suffices to rank by the main features
        self.straight = nn.Linear(2 * config.person_width, 1)

    def forward(self, z_NPTF: Tensor, defined_NPTF: Tensor, w_NPC: Tensor, people_NP: Tensor) -> Tensor:
        """[N] rewards from standardized features, which are 0 where they are undefined."""
        frames_NPT1 = defined_NPTF.any(-1, keepdim=True)
        hidden = nn.functional.gelu(self.embed(z_NPTF)) * frames_NPT1
        ends = nn.functional.pad(hidden, (0, 0, 1, 1))
        three = torch.cat([ends[:, :, :-2], hidden, ends[:, :, 2:]], -1)
        hidden = hidden + nn.functional.gelu(self.time(three)) * frames_NPT1
        count = frames_NPT1.sum(2).clamp(min=1)
        scores = self.attention(hidden).masked_fill(~frames_NPT1, -1e4)
        pooled_hidden = [
            hidden.sum(2) / count,
            hidden.masked_fill(~frames_NPT1, -1e4).amax(2).clamp(min=-1e3),
            (hidden * scores.softmax(2)).sum(2),
        ]
        features = torch.cat([*_pools(z_NPTF, defined_NPTF), *pooled_hidden, w_NPC], -1)
        vector_NPV = self.vector(self.person(features))
        mean = (vector_NPV * people_NP[..., None]).sum(1) / people_NP.sum(1, keepdim=True)
        minimum = vector_NPV.masked_fill(~people_NP[..., None], torch.inf).amin(1)
        both = torch.cat([mean, minimum], -1)
        return (self.out(both) + self.straight(both)).squeeze(-1)


def _pools(z_NPTF: Tensor, defined_NPTF: Tensor) -> list[Tensor]:
    """Mean, min, max and std over the frames where a feature is defined; 0 where it never is (std: 1e-3)."""
    count = defined_NPTF.sum(2)
    mean = (z_NPTF * defined_NPTF).sum(2) / count.clamp(min=1)
    lowest = z_NPTF.masked_fill(~defined_NPTF, torch.inf).amin(2)
    highest = z_NPTF.masked_fill(~defined_NPTF, -torch.inf).amax(2)
    std = (((z_NPTF - mean[:, :, None]) * defined_NPTF).square().sum(2) / count.clamp(min=1) + 1e-6).sqrt()
    none = count == 0
    return [mean, lowest.masked_fill(none, 0.0), highest.masked_fill(none, 0.0), std]


class TrackHead(nn.Module):
    """All members, and the statistics that standardize their input. float32, on the CPU."""

    frame_mean: Tensor
    frame_std: Tensor
    person_mean: Tensor
    person_std: Tensor

    def __init__(self, config: TrackHeadConfig):
        super().__init__()
        self.config = config
        for name, size in (("frame", len(config.frame_features)), ("person", len(config.person_features))):
            self.register_buffer(f"{name}_mean", torch.zeros(size))
            self.register_buffer(f"{name}_std", torch.ones(size))
        self.members = nn.ModuleList(_Member(config) for _ in range(config.num_members))

    def set_statistics(self, batch: FeatureBatch) -> None:
        """Sets mean and standard deviation of each feature over a training set."""
        for name, values, size in (("frame", batch.frames_NPTF, -1), ("person", batch.person_NPC, -1)):
            flat = values.reshape(-1, values.shape[size]).double()
            count = (~flat.isnan()).sum(0).clamp(min=1)
            mean = flat.nan_to_num(0.0).sum(0) / count
            std = (((flat - mean).nan_to_num(0.0) ** 2).sum(0) / count).sqrt()
            getattr(self, f"{name}_mean").copy_(mean)
            # a feature that is constant in training is ignored
            getattr(self, f"{name}_std").copy_(torch.where(std > 1e-4, std, torch.full_like(std, 1e4)))

    def per_member(self, batch: FeatureBatch) -> Tensor:
        """[M, N] float32."""
        defined = ~batch.frames_NPTF.isnan()
        z = (batch.frames_NPTF - self.frame_mean) / self.frame_std
        w = (batch.person_NPC - self.person_mean) / self.person_std
        z, w = (values.clamp(-FEATURE_LIMIT, FEATURE_LIMIT).nan_to_num(0.0) for values in (z, w))
        return torch.stack([member(z, defined, w, batch.people_NP) for member in self.members])

    def forward(self, batch: FeatureBatch) -> Tensor:
        """[N] float32 rewards: the members' mean."""
        return self.per_member(batch).mean(0)

    def inference(self) -> HeadInference:
        """The same head without torch, of the weights as they are now."""
        return HeadInference(self.config, {name: tensor.numpy() for name, tensor in self.state_dict().items()})
