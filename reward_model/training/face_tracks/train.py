"""Training of the `face-tracks` head: pairs to features, features to heads. `track_run.py` makes a run of it.

Features are computed once (`track_extract`), which takes nearly all of the time; heads train in a minute or two.
Legend: N pairs; d = r_A - r_B; label +1 (A is better), 0 (tie), -1 (B is better).
"""

from __future__ import annotations

import copy
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from identity_reward_client.preference import tie_band
from reward_model.data.progress import Progress, Steps
from reward_model.data.progress import progress as shown
from reward_model.data.records import PreferencePair
from reward_model.data.seeding import torch_seed
from reward_model.faces.arcface import bundled_reader
from reward_model.faces.tracks.features import ClipFeatures
from reward_model.faces.tracks.reward_head import FeatureBatch, TrackHead, TrackHeadConfig

from ..errors import TrainingError
from ..evaluation.statistics import accuracy, without_ties
from ..preferences.dataset import PairFile, check_labels, labels_of, read_pair_file
from ..preferences.losses import BradleyTerryWithTies
from .augment import augment
from .config import FaceTracksConfig, TrackPairs
from .extract import clips_of, extract
from .people import split_people, stranger_pairs


@dataclass(frozen=True)
class Epoch:
    """Of one member: the mean loss of its steps, and `measure` on dev after it."""

    member: int
    number: int
    loss: float
    dev: dict[str, float]


@dataclass(frozen=True, eq=False)
class TrackDataset:
    """Pairs whose references all show a face, with the features of both clips."""

    pairs: tuple[PreferencePair, ...]
    a: FeatureBatch
    b: FeatureBatch
    label_N: torch.Tensor  # int
    weight_N: torch.Tensor  # float, what each pair counts
    # left out; of both parts together where the pairs were split
    num_without_face: int

    def __len__(self) -> int:
        return len(self.pairs)

    def at(self, chosen: Sequence[int]) -> TrackDataset:
        rows = torch.as_tensor(chosen, dtype=torch.long)
        pairs = tuple(self.pairs[i] for i in chosen)
        return TrackDataset(pairs, self.a[rows], self.b[rows], self.label_N[rows], self.weight_N[rows], 0)

    def with_more(self, other: TrackDataset) -> TrackDataset:
        return TrackDataset(
            self.pairs + other.pairs,
            self.a.with_more(other.a),
            self.b.with_more(other.b),
            torch.cat([self.label_N, other.label_N]),
            torch.cat([self.weight_N, other.weight_N]),
            self.num_without_face + other.num_without_face,
        )


def dev_files(config: FaceTracksConfig) -> list[TrackPairs]:
    return [TrackPairs(path=path) for path in config.dev]


def load_splits(config: FaceTracksConfig, progress: Progress = shown) -> tuple[TrackDataset, TrackDataset]:
    """(train, dev); dev is about a tenth, of people whom train never shows, where no file is given for it."""
    train = load_dataset(config, config.train, progress)
    if config.dev:
        return train, load_dataset(config, dev_files(config), progress)
    return split_by_people(train, 0.1, config.seed)


def say(text: str) -> None:
    print(text, file=sys.stderr)


def read_files(files: Sequence[TrackPairs]) -> tuple[list[PairFile], list[str]]:
    """The records alone, and warnings. RecordError or TrainingError for what nothing can be learned from."""
    if not files:
        raise TrainingError("no pairs are given: set train to a list of JSONL files, or use --data FOLDER")
    read = [read_pair_file(file.path) for file in files]
    return read, check_labels(read, learns_from_ties=True)


def load_dataset(config: FaceTracksConfig, files: Sequence[TrackPairs], progress: Progress = shown) -> TrackDataset:
    read, warnings = read_files(files)
    for warning in warnings:
        say(warning)
    rows = [
        (pair, file.weight, *clips_of(found.path, pair)) for file, found in zip(files, read, strict=True)
        for pair in (*found.pairs, *stranger_pairs(found.pairs, file.strangers, config.seed))
    ]  # fmt: skip
    features = extract((clip for row in rows for clip in row[2:]), Path(config.cache), config.workers, progress)
    known: list[tuple[PreferencePair, float, ClipFeatures, ClipFeatures]] = []
    for pair, weight, clip_a, clip_b in rows:
        a, b = features[clip_a], features[clip_b]
        if a is not None and b is not None:
            known.append((pair, weight, a, b))
    if not known:
        names = ", ".join(file.path for file in files)
        raise TrainingError(f"{names}: no pair whose references all show a face; give pictures of faces")
    if without_face := len(rows) - len(known):
        say(f"{without_face} of {len(rows)} pairs are left out: a reference of theirs shows no face")
    pairs, weights, a_N, b_N = zip(*known, strict=True)
    return TrackDataset(
        pairs, FeatureBatch.of(a_N), FeatureBatch.of(b_N), torch.from_numpy(labels_of(pairs).astype(np.int64)),
        torch.tensor(weights, dtype=torch.float32), without_face,
    )  # fmt: skip


def split_by_people(data: TrackDataset, share: float, seed: int) -> tuple[TrackDataset, TrackDataset]:
    """(the rest, about `share` of the pairs), so that nobody is in both, impostors included; see `split_people`."""
    rest, held_out = split_people(data.pairs, share, seed)
    return replace(data.at(rest), num_without_face=data.num_without_face), data.at(held_out)


def train_heads(
    config: FaceTracksConfig,
    train: TrackDataset,
    dev: TrackDataset,
    progress: Progress = shown,
    tell: Callable[[Epoch], None] = lambda epoch: None,
) -> tuple[TrackHead, list[Epoch]]:
    """The members together in one head, and what each epoch of each gave; `tell` hears of it at once."""
    lines: list[Epoch] = []
    reader = bundled_reader()
    head_config = TrackHeadConfig(
        config.hidden,
        config.person_width,
        config.members,
        detector_sha256=reader.detector.model.sha256,
        embedder_sha256=reader.embedder.model.sha256,
    )
    with (
        progress("epochs of heads", config.members * config.epochs) as steps,
        torch.random.fork_rng(devices=[]),
        _one_thread(),
    ):
        head = TrackHead(head_config).eval()
        head.set_statistics(train.a.with_more(train.b))
        for number in range(config.members):
            member, told = _train_member(config, number, train, dev, steps, tell)
            head.members[number].load_state_dict(member.members[0].state_dict())
            lines += told
    best = [min(line.dev["loss"] for line in lines if line.member == n) for n in range(config.members)]
    training = {
        "seed": config.seed,
        "theta": config.theta,
        "pairs": len(train),
        "dev_pairs": len(dev),
        "pairs_without_face": train.num_without_face + dev.num_without_face,
        "dev_loss_of_members": [round(loss, 4) for loss in best],
        "dev": {name: round(value, 4) for name, value in measure(head, dev, config.theta).items()},
    }
    head.config = replace(head_config, training=training)
    return head, lines


@contextmanager
def _one_thread() -> Iterator[None]:
    """A step is hundreds of products too small to share: threads that wait for each other cost up to 20 times more."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _train_member(
    config: FaceTracksConfig,
    number: int,
    train: TrackDataset,
    dev: TrackDataset,
    steps: Steps,
    tell: Callable[[Epoch], None],
) -> tuple[TrackHead, list[Epoch]]:
    torch.manual_seed(torch_seed(config.seed, "member", number))
    draw = torch.Generator().manual_seed(torch_seed(config.seed, "draws", number))
    head = TrackHead(TrackHeadConfig(config.hidden, config.person_width))
    head.set_statistics(train.a.with_more(train.b))
    optimizer = torch.optim.AdamW(head.parameters(), config.learning_rate, weight_decay=config.weight_decay)
    batches = math.ceil(len(train) / config.batch)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, config.epochs * batches)
    loss_of = BradleyTerryWithTies(config.theta)
    best, best_loss, since = copy.deepcopy(head.state_dict()), math.inf, 0
    lines: list[Epoch] = []
    for epoch in range(config.epochs):
        head.train()
        total = 0.0
        for rows in torch.randperm(len(train), generator=draw).split(config.batch):
            a, b = augment(train.a[rows], train.b[rows], config.augmentation, draw)
            d = differences(head, a, b)
            weight = train.weight_N[rows]
            loss = (loss_of(d, train.label_N[rows]) * weight).sum() / weight.sum()
            if not torch.isfinite(loss):
                raise TrainingError(
                    f"the loss is {loss.item()} in epoch {epoch + 1} of head {number + 1}; a lower learning_rate than "
                    f"{config.learning_rate} may do"
                )
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(head.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            total += loss.item() * len(rows)
        told = measure(head.eval(), dev, config.theta)
        lines.append(Epoch(number, epoch, total / len(train), told))
        tell(lines[-1])
        steps.advance()
        since += 1
        if told["loss"] < best_loss:
            best, best_loss, since = copy.deepcopy(head.state_dict()), told["loss"], 0
        if since >= config.patience:
            steps.advance(config.epochs - epoch - 1)
            break
    head.load_state_dict(best)
    return head.eval(), lines


def differences(head: TrackHead, a: FeatureBatch, b: FeatureBatch) -> torch.Tensor:
    """[N] r_A - r_B."""
    rewards = head(a.with_more(b))
    return rewards[: len(a)] - rewards[len(a) :]


def measure(head: TrackHead, data: TrackDataset, theta: float) -> dict[str, float]:
    """Loss and accuracies, the tie band being the model's own."""
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
