"""Training of the networks of `face-tracks`, one after another, from features of pairs.

Legend: N pairs; d = r_A - r_B; label +1 (A is better), 0 (tie), -1 (B is better).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch

from identity_reward_client.preference import tie_band
from reward_model.data.progress import Progress
from reward_model.data.progress import progress as shown
from reward_model.data.seeding import torch_seed
from reward_model.faces.recognition.reader import bundled_reader
from reward_model.faces.tracks.feature_batch import FeatureBatch
from reward_model.faces.tracks.head_config import TrackHeadConfig
from reward_model.faces.tracks.reward_head import TrackHead

from ..configs.face_tracks import FaceTracksConfig
from ..errors import NotFinite
from ..evaluation.statistics import accuracy, without_ties
from ..preferences.losses import BradleyTerryWithTies
from ..preferences.samplers import PairSampler
from .augment import augment
from .dataset import Split, TrackDataset

GRAD_CLIP = 1.0
# learning rate of the main term's scale, relative to that of the networks
SCALE_RATE = 10.0


@dataclass(frozen=True)
class Epoch:
    """An epoch of one member: the mean loss of its steps, and `measure` on dev after it."""

    member: int
    number: int
    loss: float
    dev: dict[str, float]


class EnsembleTraining:
    """Trains the members of one TrackHead in turn; `epochs` are those that are complete."""

    def __init__(self, config: FaceTracksConfig, splits: Sequence[Split], sampler: PairSampler | None = None):
        """splits: (train, dev) of each member. sampler: see `MemberTraining`."""
        self.config, self.splits, self._sampler = config, splits, sampler
        self.epochs: list[Epoch] = []
        reader = bundled_reader()
        self._head_config = TrackHeadConfig(
            config.hidden,
            config.person_width,
            config.members,
            config.saturation,
            config.mean_share,
            config.residual_bound,
            config.spread_scale,
            detector_sha256=reader.detector.model.sha256,
            embedder_sha256=reader.embedder.model.sha256,
        )
        self._head: TrackHead | None = None

    def members(self) -> Generator[tuple[int, MemberTraining], None, None]:
        """(number of an epoch, the member to train in it): MEMBER * config.epochs + EPOCH, with a gap where a member
        stops early.

        The caller runs `run_epoch` on each before it takes the next. Meanwhile torch uses one thread and a random state
        of its own.
        """
        with torch.random.fork_rng(devices=[]), _one_thread():
            self._head = head = TrackHead(self._head_config).eval()
            # of the first member's pairs, for all: the members of one head share their statistics
            train = self.splits[0][0]
            head.set_statistics(train.a.with_more(train.b))
            for number, split in enumerate(self.splits):
                member = MemberTraining(self.config, number, split, head, self._sampler)
                for epoch in range(self.config.epochs):
                    yield number * self.config.epochs + epoch, member
                    if member.out_of_patience:
                        break
                self.epochs += member.epochs
                head.members[number].load_state_dict(member.best)

    def result(self) -> TrackHead:
        """The trained ensemble; its configuration describes the training."""
        assert self._head is not None
        config = self.config
        best = [
            min((epoch for epoch in self.epochs if epoch.member == n), key=lambda epoch: epoch.dev["loss"])
            for n in range(config.members)
        ]
        training = {
            "seed": config.seed,
            "theta": config.theta,
            "pairs": [len(train) for train, _ in self.splits],
            "dev_pairs": [len(dev) for _, dev in self.splits],
            "pairs_without_face": max(train.num_without_face + dev.num_without_face for train, dev in self.splits),
            "scale_of_members": [
                round(self._head.get_parameter(f"members.{n}.log_scale").exp().item(), 3) for n in range(config.members)
            ],
            "dev_of_members": [{name: round(value, 4) for name, value in epoch.dev.items()} for epoch in best],
        }
        self._head.config = replace(self._head_config, training=training)
        return self._head


class MemberTraining:
    """Training of one member. `head` has its current weights; `best` is its state dict after the best epoch on dev."""

    def __init__(
        self,
        config: FaceTracksConfig,
        number: int,
        split: Split,
        ensemble: TrackHead,
        sampler: PairSampler | None = None,
    ):
        """ensemble: the head that the member will be part of.

        sampler: the pairs of each step, from the pools `clean`, the first pairs of train, and `auto`, the others. An
        epoch is then an equal share of its steps. None: an epoch takes every pair once.
        """
        self.config, self.number, (self.train, self.dev) = config, number, split
        self._sampler = sampler
        self.epochs: list[Epoch] = []
        torch.manual_seed(torch_seed(config.seed, "member", number))
        self._generator = torch.Generator().manual_seed(torch_seed(config.seed, "draws", number))
        self.head = TrackHead(replace(ensemble.config, num_members=1))
        self.head.copy_statistics(ensemble)
        with torch.no_grad():
            self.head.members[0].get_parameter("log_scale").fill_(math.log(config.initial_scale))
        parameters = dict(self.head.named_parameters())
        scale = [parameters.pop(name) for name in list(parameters) if name.endswith(".log_scale")]
        # one number has as far to go as many that move together
        groups: list[dict[str, Any]] = [
            {"params": list(parameters.values())},
            {"params": scale, "lr": SCALE_RATE * config.learning_rate, "weight_decay": 0.0},
        ]
        self._optimizer = torch.optim.AdamW(groups, config.learning_rate, weight_decay=config.weight_decay)
        num_steps = config.epochs * math.ceil(len(self.train) / config.batch) if sampler is None else sampler.num_steps
        self._schedule = torch.optim.lr_scheduler.CosineAnnealingLR(self._optimizer, num_steps)
        self._loss = BradleyTerryWithTies(config.theta)
        self.best, self._best_loss, self._since_best = self._copy(), math.inf, 0

    @property
    def out_of_patience(self) -> bool:
        return self._since_best >= self.config.patience

    def run_epoch(self) -> Epoch:
        """Trains for an epoch, and measures on dev. Raises NotFinite."""
        config, train, head = self.config, self.train, self.head
        head.train()
        total, count = 0.0, 0
        for rows in self._batches():
            a, b = augment(train.a[rows], train.b[rows], config.augmentation, self._generator)
            weight_N = train.weight_N[rows]
            loss = (self._loss(differences(head, a, b), train.label_N[rows]) * weight_N).sum() / weight_N.sum()
            if not torch.isfinite(loss):
                raise NotFinite(
                    "loss", loss.item(), f"in epoch {len(self.epochs) + 1} of network {self.number + 1}",
                    f"A lower learning_rate than {config.learning_rate} may do",
                )  # fmt: skip
            self._optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(head.parameters(), GRAD_CLIP)
            self._optimizer.step()
            self._schedule.step()
            total, count = total + loss.item() * len(rows), count + len(rows)
        epoch = Epoch(self.number, len(self.epochs), total / count, measure(head.eval(), self.dev, config.theta))
        self.epochs.append(epoch)
        self._since_best += 1
        if epoch.dev["loss"] < self._best_loss:
            self.best, self._best_loss, self._since_best = self._copy(), epoch.dev["loss"], 0
        return epoch

    def _batches(self) -> Iterator[torch.Tensor]:
        """Indices of the pairs of each step of the next epoch."""
        if (sampler := self._sampler) is None:
            yield from torch.randperm(len(self.train), generator=self._generator).split(self.config.batch)
            return
        first, last = (sampler.num_steps * n // self.config.epochs for n in (len(self.epochs), len(self.epochs) + 1))
        for step in range(first, last):
            samples = sampler.samples(step)
            yield torch.tensor([s.index + (s.pool == "auto") * sampler.sizes["clean"] for s in samples])

    def _copy(self) -> dict[str, torch.Tensor]:
        return copy.deepcopy(self.head.members[0].state_dict())


def train_ensemble(
    config: FaceTracksConfig, splits: Sequence[Split], progress: Progress = shown
) -> tuple[TrackHead, list[Epoch]]:
    """Trains all members without a run's folder; (the ensemble, its epochs)."""
    training = EnsembleTraining(config, splits)
    total = config.members * config.epochs
    with progress("epochs of networks", total) as steps, closing(training.members()) as members:
        completed = 0
        for number, member in members:
            member.run_epoch()
            steps.advance(number + 1 - completed)
            completed = number + 1
        steps.advance(total - completed)
    return training.result(), training.epochs


@contextmanager
def _one_thread() -> Iterator[None]:
    """One thread for torch: a step is hundreds of small products, and sharing them takes up to 20 times longer."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def differences(head: TrackHead, a: FeatureBatch, b: FeatureBatch) -> torch.Tensor:
    """float [N], r_A - r_B."""
    rewards = head(a.with_more(b))
    return rewards[: len(a)] - rewards[len(a) :]


def measure(head: TrackHead, data: TrackDataset, theta: float) -> dict[str, float]:
    """Mean loss, and accuracies with the tie band of theta; NaN for an accuracy of no pair."""
    with torch.no_grad():
        d_N = differences(head, data.a, data.b).double()
    loss = BradleyTerryWithTies(theta)(d_N, data.label_N).mean().item()
    labels, d = data.label_N.numpy(), d_N.numpy()
    decided = without_ties(d, labels)
    return {
        "loss": loss,
        "accuracy_without_ties": float(decided.mean()) if len(decided) else math.nan,
        "accuracy_with_ties": float(accuracy(d, labels, tie_band(theta)).mean()),
    }
