"""Networks of `face-tracks` that are trained on clean and automatic labels of rendered people, for `ablation`.

Every clip has random nuisances of filming. Casts are in one of three groups: `clean`, on which votes are `human`,
`auto`, on which they are `auto`, and `test`, on which they are `exact`. A seed decides the votes, the initial weights
and the order of the pairs. What a network predicts is stored in a file, so that a benchmark that was stopped goes on.

Legend: N test pairs, M pairs of the casts `auto`; d = r_A - r_B.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from json import dumps
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from reward_model.data.people.dataset.generate import generate
from reward_model.data.people.scenarios.labels import SOURCES, LabelKind, sample_votes
from reward_model.data.people.scenarios.options import PackedOptions, PeopleOptions
from reward_model.data.progress import progress
from reward_model.data.seeding import generator
from reward_model.data.workers import results_of
from reward_model.faces.tracks.reward_head import TrackHead
from reward_model.training.configs.face_tracks import FaceTracksConfig, TrackPairs
from reward_model.training.data.pairs import signs_of
from reward_model.training.evaluation.statistics import negative_log_likelihood
from reward_model.training.face_tracks.dataset import TrackDataset, load_dataset
from reward_model.training.face_tracks.ensemble import EnsembleTraining, differences
from reward_model.training.preferences.samplers import PairSampler
from reward_model.training.preferences.teacher import agreements

DATA_SEED = 105
PAIRS_PER_CAST = 8
SPLITS = {"clean": 0.2, "auto": 0.4, "test": 0.4}
NUM_STEPS = 200
WORKERS = 2
# With its usual scale of 12 the main term ranks well before the first step, whatever the labels are. Here the network
# learns from the labels even that similarity matters, and its residual may outweigh the main term.
CONFIG = FaceTracksConfig(
    members=1, epochs=1, batch=64, learning_rate=2e-3, initial_scale=1.0, saturation=0.4, mean_share=0.1,
    residual_bound=10.0, workers=WORKERS,
)  # fmt: skip


@dataclass(frozen=True)
class Training:
    """What a network is trained on, and in which order."""

    clean: bool
    auto: Literal["raw", "filtered"] | None = None
    # a name of `samplers.SCHEDULES`
    sampler: str = "random"
    # factor of the systematic preference of automatic labels for clips that look good
    looks_bias: float = 1.0
    # share of automatic pairs that the filter keeps: those whose labels the teacher finds most likely. None: all pairs
    # with whose labels it agrees
    kept_share: float | None = None
    # share of the casts of both sources
    size: float = 1.0


TEACHER = Training(clean=True)


@dataclass(frozen=True)
class Predictions:
    """What one trained network says.

    label_accuracies: shares of the automatic labels of its training that equal the exact ones, of all pairs and of
    those whose exact label is no tie; NaN without automatic labels, as `kept_share`.
    """

    test_N: np.ndarray
    auto_M: np.ndarray
    kept_share: float
    label_accuracies: tuple[float, float]


class LabelSources:
    """Pairs of the three groups of casts with their features; networks and predictions follow from them."""

    def __init__(self, folder: Path, casts: dict[str, TrackDataset]):
        """casts: group -> pairs with exact labels."""
        self.folder, self.casts = folder, casts

    def predictions(self, training: Training, seed: int) -> Predictions:
        """From the file, or of a network that is trained now."""
        path = self._path(training, seed)
        if not path.is_file():
            self._write(path, self._train(training, seed))
        with np.load(path) as file:
            accuracies = file["label_accuracies"].tolist()
            return Predictions(file["test_N"], file["auto_M"], float(file["kept_share"]), tuple(accuracies))

    def is_complete(self, training: Training, seed: int) -> bool:
        return self._path(training, seed).is_file()

    def _path(self, training: Training, seed: int) -> Path:
        key = dumps([asdict(training), seed, NUM_STEPS, CONFIG.model_dump(mode="json")], sort_keys=True)
        return self.folder / f"{sha256(key.encode()).hexdigest()[:20]}.npz"

    def _write(self, path: Path, predictions: Predictions) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{os.getpid()}.{path.name}")
        np.savez(partial, **asdict(predictions))
        os.replace(partial, path)

    def _train(self, training: Training, seed: int) -> Predictions:
        clean = labelled(share_of_casts(self.casts["clean"], training.size), "human", seed)
        auto = labelled(share_of_casts(self.casts["auto"], training.size), "auto", seed, training.looks_bias)
        kept_share, accuracies = np.nan, (np.nan, np.nan)
        if training.auto is not None:
            keep = np.ones(len(auto), bool)
            if training.auto == "filtered":
                keep = self._kept(auto, training, seed)
            auto = auto.at(np.flatnonzero(keep).tolist())
            kept_share, accuracies = float(keep.mean()), label_accuracies(auto)
        head = train([clean] if training.clean else [], [auto] if training.auto else [], training.sampler, seed)
        test_N, auto_M = (self._differences(head, group) for group in ("test", "auto"))
        return Predictions(test_N, auto_M, kept_share, accuracies)

    def _kept(self, auto: TrackDataset, training: Training, seed: int) -> np.ndarray:
        """bool: the automatic pairs that the filter keeps. The teacher learned from the clean pairs of this seed."""
        auto_M = self.predictions(replace(TEACHER, size=training.size), seed).auto_M
        d_of = dict(zip((pair.pair_id for pair in self.casts["auto"].pairs), auto_M, strict=True))
        d = np.array([d_of[pair.pair_id] for pair in auto.pairs], np.float64)
        if training.kept_share is None:
            return agreements(auto.pairs, d)
        rank = np.argsort(np.argsort(negative_log_likelihood(d, auto.label_N.numpy())))
        return rank < training.kept_share * len(rank)

    def _differences(self, head: TrackHead, group: str) -> np.ndarray:
        data = self.casts[group]
        with torch.no_grad():
            return differences(head, data.a, data.b).numpy()


def train(clean: Sequence[TrackDataset], auto: Sequence[TrackDataset], schedule: str, seed: int) -> TrackHead:
    """The network after NUM_STEPS steps on the pools, each of which is one data set or none. No early stopping."""
    data, *others = [*clean, *auto]
    for other in others:
        data = data.with_more(other)
    config = CONFIG.model_copy(update={"seed": seed})
    sampler = PairSampler(sum(map(len, clean)), sum(map(len, auto)), config.batch, NUM_STEPS, schedule, seed)
    training = EnsembleTraining(config, [(data, data)], sampler)
    with closing(training.members()) as members:
        _, member = next(members)
        member.run_epoch()
    return member.head


def labelled(data: TrackDataset, kind: LabelKind, seed: int, looks_bias: float = 1.0) -> TrackDataset:
    """The pairs with new votes, without those that have no majority."""
    pairs = []
    for pair in data.pairs:
        a, b = pair.meta["a"], pair.meta["b"]
        votes = sample_votes(
            kind, a["modes"], b["modes"], generator("votes", kind, seed, pair.pair_id),
            (a.get("nuisances", {}), b.get("nuisances", {})), looks_bias,
        )  # fmt: skip
        pairs.append(pair.model_copy(update={"votes": votes, "label": votes.majority, "source": SOURCES[kind]}))
    voted = replace(data, pairs=tuple(pairs)).at([i for i, pair in enumerate(pairs) if pair.has_label])
    return replace(voted, label_N=torch.from_numpy(signs_of(voted.pairs).astype(np.int64)))


def label_accuracies(data: TrackDataset) -> tuple[float, float]:
    """Shares of labels that equal the exact ones: of all pairs, and of those whose exact label is no tie."""
    right = np.array([pair.label == pair.meta["truth"] for pair in data.pairs])
    decided = np.array([pair.meta["truth"] != "tie" for pair in data.pairs])
    return float(right.mean()), float(right[decided].mean())


def share_of_casts(data: TrackDataset, share: float) -> TrackDataset:
    """The pairs of the first casts."""
    casts = sorted({pair.cluster for pair in data.pairs})
    first = set(casts[: round(share * len(casts))])
    return data.at([i for i, pair in enumerate(data.pairs) if pair.cluster in first])


def load_casts(folder: Path, num_casts: int) -> dict[str, TrackDataset]:
    """The pairs of each group, rendered and read into the cache of features where they are not there yet."""
    options = PeopleOptions(
        PAIRS_PER_CAST * num_casts, DATA_SEED, "exact", SPLITS, PackedOptions(16, 240, 416),
        pairs_per_scenario=PAIRS_PER_CAST, nuisances=True,
    )  # fmt: skip
    with progress("casts", options.num_scenarios) as steps:
        generate(folder / "people", options, WORKERS, steps)
    config = CONFIG.model_copy(update={"cache": str(folder / "features")})
    return {
        group: load_dataset(config, [TrackPairs(path=str(folder / "people" / f"{group}.jsonl"))]) for group in SPLITS
    }


def train_all(sources: LabelSources, runs: Sequence[tuple[Training, int]], label: str) -> None:
    """Predictions of all (training, seed) that have none yet, by worker processes; teachers come first."""
    pending = [run for run in runs if not sources.is_complete(*run)]
    pending.sort(key=lambda run: run[0].auto == "filtered")
    with progress(label, len(runs)) as steps:
        steps.begin(len(runs) - len(pending))
        arguments = (sources.folder, sources.casts)
        with closing(results_of(_predict, pending, WORKERS, _start_worker, arguments)) as results:
            for _ in results:
                steps.advance()


# of this worker process
_sources: LabelSources


def _start_worker(folder: Path, casts: dict[str, TrackDataset]) -> None:
    global _sources  # noqa: PLW0603  # concurrent.futures has no other place for a worker's state
    _sources = LabelSources(folder, casts)


def _predict(training: Training, seed: int) -> None:
    _sources.predictions(training, seed)
