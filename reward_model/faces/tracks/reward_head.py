"""The reward head of `face-tracks`: a main term with a learned scale, and a small network as a bounded residual.

    reward = scale * (saturated(worst) + mean_share * mean) - copy_penalty * copied + residual

worst, mean and copied are `identity_terms`. `saturated` is the identity below the similarity at which two faces are
taken for one person's, and flat above: a better camera is no better likeness. The residual lies within
+-residual_bound, whatever the features are; it sees what lies outside of the similarity to the references. The penalty
is larger than the range of the residual, so that a copied clip is below one that shows everybody, whatever the
residuals are.

The residual network looks at each person on their own: standardized features, a convolution over time, pooling over
frames. Then all people together: mean and minimum, so that the worst person counts. Several members of different seeds
are averaged.

N samples, P people, T frames, F frame features, C person features, H hidden, V person vector, M members.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from .feature_batch import FeatureBatch
from .head_config import FEATURE_LIMIT, HIDDEN_FEATURES, SATURATION_RATE, TrackHeadConfig
from .head_inference import HeadInference

# initial value of the scale; a right person is then worth about 5 rewards
_SCALE = 12.0


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
    return similarity_N - nn.functional.softplus(SATURATION_RATE * (similarity_N - limit)) / SATURATION_RATE


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
        defined[..., HIDDEN_FEATURES] = False
        z = (batch.frames_NPTF - self.frame_mean) / self.frame_std
        w = (batch.person_NPC - self.person_mean) / self.person_std
        z, w = (values.clamp(-FEATURE_LIMIT, FEATURE_LIMIT).nan_to_num(0.0) for values in (z, w))
        z[..., HIDDEN_FEATURES] = 0.0
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

    def inference(self) -> HeadInference:
        """The same head without torch, of the weights as they are now."""
        return HeadInference(self.config, {name: tensor.numpy() for name, tensor in self.state_dict().items()})
