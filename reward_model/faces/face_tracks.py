"""`face-tracks`: a scorer of photographs with a small trained reward head over face tracks, without a GPU.

Faces are detected in sampled frames, embedded, linked into tracks and matched to the people of the references. The
reward head, trained on preferences (`reward_model.training.face_tracks`), turns features of these tracks into one
reward. Its features show what a mean similarity cannot: a switch in mid-clip, a double, drift, blurred frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from json import dumps
from math import isfinite
from pathlib import Path

from identity_reward_client.errors import NonFiniteReward
from identity_reward_client.fields.warnings import ScoreWarning

from ..folder import CheckpointError
from ..scorer import ScorerInfo
from ..types import CacheCount, Price, Sample, Score, Size
from .frame_sampling import FACE_TRACKS as SAMPLING
from .pricing import pixel_price
from .recognition.reader import FaceReader, bundled_reader
from .spread import member_spread
from .tracks import copies
from .tracks.clip_faces import TRACK_WEIGHT, ClipFaces, ClipReader
from .tracks.details import track_details
from .tracks.features import ClipFeatures, clip_features
from .tracks.head_inference import HeadInference
from .warnings.samples import track_warnings

# raised whenever code that decides a score changes, so that the fingerprint changes too; features have their own
REVISION = 3


@dataclass(frozen=True, eq=False)
class SampleTracks:
    """Result of `preprocess`."""

    clip: ClipFaces
    features: ClipFeatures
    warnings: tuple[ScoreWarning, ...] = ()


@dataclass(frozen=True, eq=False)
class TrackReward:
    """Result of `forward`."""

    reward: float
    clip: ClipFaces
    features: ClipFeatures
    # see Score
    warnings: tuple[ScoreWarning, ...] = ()
    spread: float | None = None


class FaceTracksScorer:
    """A Scorer, trained with Bradley-Terry-with-Ties: only differences of rewards mean anything."""

    def __init__(self, reader: FaceReader, head: HeadInference, name: str = "face-tracks"):
        """CheckpointError if the head was trained with other face networks than the reader's."""
        networks = {"detector": reader.detector.model.sha256, "embedder": reader.embedder.model.sha256}
        for part, sha256_here in networks.items():
            trained_with = getattr(head.config, f"{part}_sha256")
            if sha256_here != trained_with:
                raise CheckpointError(
                    f"this face-tracks head was trained with another face {part} (SHA-256 {trained_with or 'unknown'}, "
                    f"here {sha256_here}); train one with this {part}: identity-reward train-reward face-tracks"
                )
        self.head = head
        self._clips = ClipReader(reader)
        self.info = ScorerInfo(
            name=name,
            version=str(REVISION),
            fingerprint=_fingerprint(self._clips, head),
            domain="photographs",
            description="A small trained head over face tracks: similarity to the references over time, presence, "
            "drift, doubles, sharpness, motion of the face.",
            frame_sampling=SAMPLING,
            num_parameters=reader.embedder.num_parameters + head.num_parameters,
            device=reader.embedder.device,
        )

    def price(self, references: Sequence[Size], num_frames: int, size: Size, prompt: str | None) -> Price:
        return pixel_price(references, num_frames, size)

    def preprocess(self, sample: Sample) -> SampleTracks:
        """Detects, embeds, links and matches all faces. ReferenceWithoutFace if a reference shows none."""
        clip = self._clips.read(sample)
        features = clip_features(clip)
        return SampleTracks(clip, features, track_warnings(clip, features, sample.video))

    def forward(self, batch: Sequence[SampleTracks]) -> list[TrackReward]:
        # one sample at a time: the bits of a batch's products depend on its size
        return [self._reward(sample) for sample in batch]

    def _reward(self, sample: SampleTracks) -> TrackReward:
        rewards_M = self.head.per_member(sample.features)
        spread = member_spread(rewards_M, self.info.preference_scale, self.head.config.spread_scale)
        return TrackReward(float(rewards_M.mean()), sample.clip, sample.features, sample.warnings, spread)

    def postprocess(self, raw: TrackReward) -> Score:
        """The reward, with the `details` of `track_details`."""
        if not isfinite(raw.reward):
            raise NonFiniteReward("the face-tracks head gave no finite reward", details={"reward": str(raw.reward)})
        return Score(raw.reward, track_details(raw.clip, raw.features), raw.warnings, raw.spread)

    def caches(self) -> tuple[CacheCount, ...]:
        return (self._clips.references.count,)

    def warm_up(self) -> None:
        """Runs networks, tracking and reward head on a grey clip with a made-up face."""
        clip = self._clips.warm_up()
        self.postprocess(self.forward([SampleTracks(clip, clip_features(clip))])[0])


def _fingerprint(clips: ClipReader, head: HeadInference) -> str:
    score_relevant = {
        "revision": REVISION,
        "copies_revision": copies.REVISION,
        "head": head.config.fingerprint,
        "detection": asdict(clips.reader.detector.config),
        "size_px": clips.reader.embedder.size_px,
        "max_faces": clips.reader.max_faces,
        "tracks": asdict(clips.rule),
        "track_weight": TRACK_WEIGHT,
        "frame_sampling": asdict(SAMPLING),
    }
    return sha256(dumps(score_relevant, sort_keys=True).encode()).hexdigest()


def load_folder(folder: str | Path, device: str = "cpu", name: str = "face-tracks") -> FaceTracksScorer:
    """The reward head of a folder, which runs on the CPU, on the bundled YuNet and SFace.

    These run on the device or, logged, on the CPU where onnxruntime does not support it. CheckpointError or
    ModelFileError for a missing, damaged or unfitting file.
    """
    return FaceTracksScorer(bundled_reader(device), HeadInference.load(Path(folder)), name)
