"""Preference pairs with the face-track features of both clips. Legend: N pairs; label +1 (A is better), 0, -1."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from reward_model.data.progress import Progress
from reward_model.data.progress import progress as shown
from reward_model.data.records import PreferencePair
from reward_model.faces.tracks.feature_batch import FeatureBatch
from reward_model.faces.tracks.features import ClipFeatures

from ..configs.face_tracks import FaceTracksConfig, TrackPairs
from ..data.pairs import PairFile, check_labels, read_pair_file, signs_of
from ..errors import TrainingError
from .extract import clips_of, extract
from .people import folds_of, people_of, split_people, stranger_pairs


@dataclass(frozen=True, eq=False)
class TrackDataset:
    """Pairs whose references all show a face.

    label_N: int64. weight_N: float32, weight of each pair. num_without_face: pairs that were left out, counted in the
    first part where a data set was split.
    """

    pairs: tuple[PreferencePair, ...]
    a: FeatureBatch
    b: FeatureBatch
    label_N: torch.Tensor
    weight_N: torch.Tensor
    num_without_face: int

    def __len__(self) -> int:
        return len(self.pairs)

    def at(self, indices: Sequence[int]) -> TrackDataset:
        """The pairs at these indices."""
        rows = torch.as_tensor(indices, dtype=torch.long)
        pairs = tuple(self.pairs[i] for i in indices)
        return TrackDataset(pairs, self.a[rows], self.b[rows], self.label_N[rows], self.weight_N[rows], 0)

    def without(self, people: frozenset[str]) -> TrackDataset:
        """The pairs that show none of `people`."""
        return self.at([i for i, pair in enumerate(self.pairs) if not people & people_of(pair)])

    def of_people(self, people: frozenset[str]) -> TrackDataset:
        """The pairs whose references show nobody but `people`."""
        return self.at([i for i, pair in enumerate(self.pairs) if people.issuperset(pair.persons)])

    def with_more(self, other: TrackDataset) -> TrackDataset:
        """The pairs of both."""
        return TrackDataset(
            self.pairs + other.pairs,
            self.a.with_more(other.a),
            self.b.with_more(other.b),
            torch.cat([self.label_N, other.label_N]),
            torch.cat([self.weight_N, other.weight_N]),
            self.num_without_face + other.num_without_face,
        )


# (train, dev), which share nobody
Split = tuple[TrackDataset, TrackDataset]


def dev_files(config: FaceTracksConfig) -> list[TrackPairs]:
    return [TrackPairs(path=path) for path in config.dev]


def load_splits(config: FaceTracksConfig, progress: Progress = shown) -> list[Split]:
    """The split of each member. Without files for dev and `stop_on`, dev is about a tenth of the pairs."""
    if config.stop_on:
        others = [file for file in config.train if file.path != config.stop_on]
        people = load_dataset(config, [file for file in config.train if file.path == config.stop_on], progress)
        base = load_dataset(config, others, progress) if others else None
        return rotated_splits(config, base, people)
    train = load_dataset(config, config.train, progress)
    split = (
        (train, load_dataset(config, dev_files(config), progress))
        if config.dev
        else split_by_people(train, 0.1, config.seed)
    )
    return [split] * config.members


def rotated_splits(config: FaceTracksConfig, base: TrackDataset | None, people: TrackDataset) -> list[Split]:
    """The split of each member by people: dev has the pairs whose references are all of one fold of them; train has
    `base` and the pairs that show nobody of the fold. TrainingError where a part has no pair."""
    splits = []
    for fold in folds_of(people.pairs, config.members, config.seed):
        rest = people.without(fold)
        train = rest if base is None else base.without(fold).with_more(rest)
        dev = people.of_people(fold)
        if not len(train) or not len(dev):
            raise TrainingError(
                f"{config.stop_on}: no pair shows {', '.join(sorted(fold))} alone, or none shows others alone; give "
                "fewer members, or pairs of more people"
            )
        splits.append((train, dev))
    return splits


def read_files(files: Sequence[TrackPairs]) -> tuple[list[PairFile], list[str]]:
    """(the records, warnings). Raises RecordError or TrainingError for pairs that nothing can be learned from."""
    if not files:
        raise TrainingError("no pairs are given: set train to a list of JSONL files, or use --data FOLDER")
    read = [read_pair_file(file.path) for file in files]
    return read, check_labels(read, learns_from_ties=True)


def load_dataset(config: FaceTracksConfig, files: Sequence[TrackPairs], progress: Progress = shown) -> TrackDataset:
    """Pairs of the files, and the stranger pairs that are added to them, with features from the cache or computed.

    Warnings go to stderr. Raises TrainingError where no pair is left.
    """
    read, warnings = read_files(files)
    for warning in warnings:
        _warn(warning)
    rows = [
        (pair, file.weight, *clips_of(records.path, pair)) for file, records in zip(files, read, strict=True)
        for pair in (*records.pairs, *stranger_pairs(records.pairs, file.strangers, config.seed))
    ]  # fmt: skip
    features = extract((clip for row in rows for clip in row[2:]), Path(config.cache), config.workers, progress)
    complete: list[tuple[PreferencePair, float, ClipFeatures, ClipFeatures]] = []
    for pair, weight, clip_a, clip_b in rows:
        a, b = features[clip_a], features[clip_b]
        if a is not None and b is not None:
            complete.append((pair, weight, a, b))
    if not complete:
        names = ", ".join(file.path for file in files)
        raise TrainingError(f"{names}: no pair whose references all show a face; give reference images that show faces")
    if without_face := len(rows) - len(complete):
        _warn(f"{without_face} of {len(rows)} pairs are left out: a reference of theirs shows no face")
    pairs, weights, a_N, b_N = zip(*complete, strict=True)
    return TrackDataset(
        pairs, FeatureBatch.of(a_N), FeatureBatch.of(b_N), torch.from_numpy(signs_of(pairs).astype(np.int64)),
        torch.tensor(weights, dtype=torch.float32), without_face,
    )  # fmt: skip


def split_by_people(data: TrackDataset, share: float, seed: int) -> Split:
    """(the rest, about `share` of the pairs), such that no person is in both parts; see `split_people`."""
    rest, held_out = split_people(data.pairs, share, seed)
    return replace(data.at(rest), num_without_face=data.num_without_face), data.at(held_out)


def _warn(text: str) -> None:
    print(text, file=sys.stderr)
