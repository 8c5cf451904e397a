"""The reward head of `face-tracks`: a main term with a learned scale, and a small network as a bounded residual.

    reward = scale * (saturated(worst) + mean_share * mean) - copy_penalty * copied + residual

worst, mean and copied are `identity_terms`. `saturated` is the identity below the similarity at which two faces are
taken for one person's, and flat above: a better camera is no better likeness. The residual lies within
+-residual_bound, whatever the features are; it sees what lies outside of the similarity to the references. The penalty
is larger than all that the residual can give, so that a copied clip is below any other.

The residual network looks at each person on their own: standardized features, a convolution over time, pooling over
frames. Then all people together: mean and minimum, so that the worst person counts. Several members of different seeds
are averaged.

N samples, P people, T frames, F frame features, C person features, H hidden, V person vector, M members.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, astuple, dataclass, fields
from hashlib import sha256
from json import JSONDecodeError, dumps, loads
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from torch import Tensor, nn

from reward_model.folder import CONFIG, WEIGHTS, CheckpointError

from .features import FRAME_FEATURES, PERSON_FEATURES, REVISION, ClipFeatures

KIND = "face-tracks"
# standardized features are clipped to this
_LIMIT = 4.0
# features of a frame that the residual network never sees: a copy is the main term's to judge
_HIDDEN = [list(FRAME_FEATURES).index("copy")]
# steepness of the saturation, per unit of cosine
_SATURATION_RATE = 20.0
# initial value of the scale; a right person is then worth about 5 rewards
_SCALE = 12.0


@dataclass(frozen=True)
class TrackHeadConfig:
    """Stored as config.json beside the weights."""

    hidden: int = 24
    # size of the vector that is pooled over people
    person_width: int = 24
    num_members: int = 1
    # cosine similarity at which the main term saturates
    saturation: float = 0.4
    # weight of the mean over people and frames beside the worst person's
    mean_share: float = 0.1
    # largest absolute value of the residual, in rewards
    residual_bound: float = 2.0
    # names in order: a head that was trained on other features is refused
    frame_features: tuple[str, ...] = tuple(FRAME_FEATURES)
    person_features: tuple[str, ...] = tuple(PERSON_FEATURES)
    features_revision: int = REVISION
    # SHA-256 of the two face networks that it was trained with
    detector_sha256: str = ""
    embedder_sha256: str = ""
    # data, seeds and accuracies of the training; without influence on scores
    training: dict[str, Any] | None = None
    # of the weights' file
    weights_sha256: str = ""

    @property
    def copy_penalty(self) -> float:
        """What a copied clip loses, in rewards: more than the residual's range."""
        return 2 * self.residual_bound + 1.0

    @property
    def fingerprint(self) -> str:
        """SHA-256 of everything that decides a score."""
        score_relevant = {key: value for key, value in asdict(self).items() if key != "training"}
        return sha256(dumps(score_relevant, sort_keys=True).encode()).hexdigest()


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


class Member(nn.Module):
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
        # of the scale of the main term, which stays positive
        self.log_scale = nn.Parameter(torch.tensor(math.log(_SCALE)))

    def forward(self, z_NPTF: Tensor, defined_NPTF: Tensor, w_NPC: Tensor, people_NP: Tensor) -> Tensor:
        """[N] residuals without a bound, from standardized features, which are 0 where they are undefined."""
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


def saturated(similarity_N: Tensor, limit: float) -> Tensor:
    """The similarity, smoothly limited to `limit`; strictly increasing."""
    return similarity_N - nn.functional.softplus(_SATURATION_RATE * (similarity_N - limit)) / _SATURATION_RATE


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
        self.members = nn.ModuleList(Member(config) for _ in range(config.num_members))

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

    def copy_statistics(self, other: TrackHead) -> None:
        for name, values in other.named_buffers():
            getattr(self, name).copy_(values)

    def per_member(self, batch: FeatureBatch) -> Tensor:
        """[M, N] float32."""
        defined = ~batch.frames_NPTF.isnan()
        defined[..., _HIDDEN] = False
        z = (batch.frames_NPTF - self.frame_mean) / self.frame_std
        w = (batch.person_NPC - self.person_mean) / self.person_std
        z, w = (values.clamp(-_LIMIT, _LIMIT).nan_to_num(0.0) for values in (z, w))
        z[..., _HIDDEN] = 0.0
        config = self.config
        worst_N, mean_N, copied_N = batch.terms_N3.unbind(-1)
        main_N = saturated(worst_N, config.saturation) + config.mean_share * mean_N
        rewards = []
        for member in self.members:
            residual_N = member(z, defined, w, batch.people_NP)
            bounded_N = config.residual_bound * torch.tanh(residual_N / config.residual_bound)
            rewards.append(torch.exp(member.get_parameter("log_scale")) * main_N + bounded_N)
        return torch.stack(rewards) - config.copy_penalty * copied_N

    def forward(self, batch: FeatureBatch) -> Tensor:
        """[N] float32 rewards: the members' mean."""
        return self.per_member(batch).mean(0)


def load_head(folder: Path) -> TrackHead:
    """CheckpointError for a missing, damaged or unfitting file."""
    config = read_head_config(folder)
    data = (folder / WEIGHTS).read_bytes()
    if sha256(data).hexdigest() != config.weights_sha256:
        raise CheckpointError(
            f"{folder / WEIGHTS} isn't the file that {CONFIG} was written with: it is damaged or was replaced; "
            "restore both, or train them again"
        )
    head = TrackHead(config)
    try:
        head.load_state_dict(load_tensors(data))
    except (SafetensorError, RuntimeError) as error:
        raise CheckpointError(f"{folder / WEIGHTS} doesn't fit its {CONFIG}: {error}") from None
    return head.eval().requires_grad_(False)


def read_head_config(folder: Path) -> TrackHeadConfig:
    """CheckpointError if the folder holds no head, or one for other features than this version computes."""
    missing = [name for name in (CONFIG, WEIGHTS) if not (folder / name).is_file()]
    if missing:
        raise CheckpointError(f"{folder} lacks {', '.join(missing)}: it holds no face-tracks head")
    try:
        values = loads((folder / CONFIG).read_text())
        if not isinstance(values, dict) or values.pop("kind", None) != KIND:
            raise ValueError(f'its "kind" is not {KIND!r}')
        if unknown := set(values) - {field.name for field in fields(TrackHeadConfig)}:
            raise ValueError(f"unknown fields: {', '.join(sorted(unknown))}")
        for name in ("frame_features", "person_features"):
            values[name] = tuple(values[name])
        config = TrackHeadConfig(**values)
    except (JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{folder / CONFIG} isn't a face-tracks head's: {error}") from None
    current = TrackHeadConfig()
    for name in ("frame_features", "person_features", "features_revision"):
        if getattr(config, name) != getattr(current, name):
            raise CheckpointError(
                f"the head in {folder} was trained on other {name.replace('_', ' ')} than this version computes; "
                "train it again: identity-reward train-reward face-tracks"
            )
    return config


def head_config_json(config: TrackHeadConfig) -> str:
    return dumps({"kind": KIND, **asdict(config)}, indent=1) + "\n"
