"""Preference pairs, synthetic features and a progress reporter for tests of face-tracks."""

from contextlib import contextmanager

import numpy as np
import torch

from identity_reward_client.preference import Preference
from reward_model.data.records import PreferencePair, Reference, Votes
from reward_model.faces.tracks.feature_batch import FeatureBatch
from reward_model.faces.tracks.features import FRAME_FEATURES, PERSON_FEATURES, ClipFeatures
from reward_model.training.configs.face_tracks import FaceTracksConfig
from reward_model.training.face_tracks.dataset import TrackDataset

SIMILARITY = list(FRAME_FEATURES).index("similarity")


class RecordingProgress:
    """A progress reporter that records the total of each kind of work."""

    def __init__(self):
        self.work: dict[str, int] = {}

    @contextmanager
    def __call__(self, what: str, total: int):
        self.work[what] = self.work.get(what, 0) + total
        yield self

    def begin(self, done: int) -> None: ...

    def advance(self, count: int = 1) -> None: ...


def record(pair_id: str, label: Preference, persons=("a",), videos=("a.mp4", "b.mp4"), **meta) -> PreferencePair:
    votes = Votes(**{label.value: 3})
    references = tuple(Reference(path=f"{person}.jpg", person=person) for person in persons)
    return PreferencePair(
        pair_id=pair_id, prompt="", references=references, video_a=videos[0], video_b=videos[1], label=label,
        votes=votes, source="construction", split="train", meta=meta,
    )  # fmt: skip


def synthetic_dataset(num_pairs: int, seed: int) -> TrackDataset:
    """Random features: the better clip has the higher similarity in its worst frame, and all else is noise."""
    rng = np.random.Generator(np.random.Philox(seed))
    pairs, labels, clips_a, clips_b = [], [], [], []
    for n in range(num_pairs):
        label = int(rng.choice([1, 0, -1]))
        sides = []
        for side in (1, -1):
            frames = rng.normal(0, 0.3, (2, 8, len(FRAME_FEATURES))).astype(np.float32)
            frames[..., SIMILARITY] = 0.7 + 0.02 * rng.standard_normal((2, 8))
            if label == -side:
                frames[rng.integers(2), rng.integers(8), SIMILARITY] = 0.1
            frames[..., 0] = 1
            sides.append(ClipFeatures(frames, rng.normal(size=(2, len(PERSON_FEATURES))).astype(np.float32)))
        pairs.append(record(str(n), {1: Preference.A, 0: Preference.TIE, -1: Preference.B}[label], (f"p{n % 40}",)))
        labels.append(label)
        clips_a.append(sides[0])
        clips_b.append(sides[1])
    batches = FeatureBatch.of(clips_a), FeatureBatch.of(clips_b)
    return TrackDataset(tuple(pairs), *batches, torch.tensor(labels), torch.ones(num_pairs), 0)


SMALL = FaceTracksConfig(members=2, epochs=12, hidden=12, person_width=8, batch=64, learning_rate=5e-3)
