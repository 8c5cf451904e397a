"""`arcface`: the baseline scorer, a cosine similarity of face embeddings between the video and the references.

The faces of every sampled frame are matched to the references, one face per person; the similarities are averaged over
frames and people, or summarized by another variant. A person without a face in a frame counts as 0 there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from json import dumps
from math import isfinite
from pathlib import Path

import numpy as np

from identity_reward_client.errors import NonFiniteReward
from identity_reward_client.fields.warnings import ScoreWarning
from identity_reward_client.frame_sampling import FrameSampling

from ..scorer import ScorerInfo
from ..types import CacheCount, Price, Sample, Score, Size
from .pricing import pixel_price
from .recognition.alignment import TEMPLATE_52
from .recognition.detection import FaceDetector
from .recognition.embedding import FaceEmbedder
from .recognition.face import Face
from .recognition.matching import VARIANTS, absent_as_zero, assign_frames, match_frames
from .recognition.reader import FaceReader, bundled_reader
from .recognition.reference_faces import ReferenceFace, ReferenceFaces
from .recognition.sessions import face_device
from .warnings.samples import face_warnings

SAMPLING = FrameSampling("uniform-8", num_frames=8)
# raised whenever code that decides a score changes, so that the fingerprint changes too
REVISION = 1
# A cosine difference times this is a Bradley-Terry-with-Ties logit (theta 5): the scale of highest likelihood on the
# 40 photographs of OpenPeople (10 people, SFace), where "the same person" wins against "another person" (1,440
# differences, mean 0.50) and two photographs of the same person tie (120 differences, standard deviation 0.10). At this
# scale 96 % of the former and 81 % of the latter are also the most likely outcome. All 230 faces at least 100 pixels
# wide give 8.9. Cosines of other networks may be distributed differently.
PREFERENCE_SCALE = 8.5
_SUMMARIES = {
    "mean": "averaged over frames, then people",
    "minimum": "averaged over frames; the worst person's counts",
    "best_frame": "averaged over people; the best frame's counts",
}


@dataclass(frozen=True, eq=False)
class SampleFaces:
    """Result of `preprocess`: every face of one sample, in pixels of its own image or frame."""

    references: tuple[ReferenceFace, ...]
    # of each sampled frame, largest first
    frames: tuple[tuple[Face, ...], ...]
    frame_indices: tuple[int, ...]
    warnings: tuple[ScoreWarning, ...] = ()


@dataclass(frozen=True, eq=False)
class Similarities:
    """Result of `forward`. T sampled frames, P people in the order of the references."""

    # float64 in [-1, 1], NaN where no face is matched to the person
    similarity_TP: np.ndarray
    references: tuple[ReferenceFace, ...]
    num_frame_faces: tuple[int, ...]
    frame_indices: tuple[int, ...]
    warnings: tuple[ScoreWarning, ...] = ()


class ArcFaceScorer:
    """A Scorer (`reward_model.scorer`). The reward is a cosine similarity in [-1, 1]."""

    def __init__(self, reader: FaceReader, variant: str = "mean", name: str | None = None):
        if variant not in VARIANTS:
            raise ValueError(f"no variant is called {variant!r}; there are {', '.join(VARIANTS)}")
        self.reader = reader
        self.variant = variant
        self._references = ReferenceFaces(reader)
        embedder = reader.embedder
        self.info = ScorerInfo(
            name=name or scorer_name(variant),
            version=str(REVISION),
            fingerprint=_fingerprint(reader, variant),
            domain="photographs",
            description=f"Cosine similarity of faces to the references ({embedder.model.path.stem}), "
            f"{_SUMMARIES[variant]}; an absent person counts as 0.",
            frame_sampling=SAMPLING,
            preference_scale=PREFERENCE_SCALE,
            num_parameters=embedder.num_parameters,
            device=embedder.device,
        )

    def price(self, references: Sequence[Size], num_frames: int, size: Size, prompt: str | None) -> Price:
        return pixel_price(references, num_frames, size)

    def preprocess(self, sample: Sample) -> SampleFaces:
        """Detects and embeds all faces. ReferenceWithoutFace if a reference shows none."""
        indices = sample.video.frame_indices
        # a short video repeats frames
        frames_by_index = dict(zip(indices, sample.video.frames_THWC, strict=True))
        # they are read while this thread reads the references
        readings = dict(
            zip(frames_by_index, self.reader.begin(self.reader.read, frames_by_index.values()), strict=True)
        )
        try:
            references = self._references.read(sample.references)
            frames = tuple(readings[index].result() for index in indices)
        finally:
            for reading in readings.values():
                reading.cancel()
        face_of_TP = assign_frames(_embeddings(frames), _reference_embeddings(references))
        return SampleFaces(references, frames, indices, face_warnings(references, frames, face_of_TP, sample.video))

    def forward(self, batch: Sequence[SampleFaces]) -> list[Similarities]:
        return [self._similarities(sample) for sample in batch]

    def _similarities(self, sample: SampleFaces) -> Similarities:
        return Similarities(
            match_frames(_embeddings(sample.frames), _reference_embeddings(sample.references)),
            sample.references,
            tuple(len(faces) for faces in sample.frames),
            sample.frame_indices,
            sample.warnings,
        )

    def postprocess(self, raw: Similarities) -> Score:
        """The reward, with `details`: the variants, and similarities per person and frame (null where absent).

        `num_reference_faces` above 1 means that a reference shows several faces, of which the largest is used.
        `reference_face_score` is the detector's confidence in that face, 0..1. `reference_rotation_degrees` other than
        0 means that the reference is probably not upright: rotated clockwise by that, it shows a face more clearly.
        """
        values = {variant: summarize(raw.similarity_TP) for variant, summarize in VARIANTS.items()}
        if not all(isfinite(value) for value in values.values()):
            raise NonFiniteReward(
                "the face similarities are not finite", details={"variants": {k: str(v) for k, v in values.items()}}
            )
        people = []
        for p, similarity_T in enumerate(raw.similarity_TP.T):
            people.append(
                {
                    "reference_index": p,
                    "similarity": float(absent_as_zero(similarity_T).mean()),
                    "coverage": float((~np.isnan(similarity_T)).mean()),
                    "frame_similarities": [None if np.isnan(s) else float(s) for s in similarity_T],
                    **raw.references[p].details,
                }
            )
        best = int(absent_as_zero(raw.similarity_TP).mean(1).argmax())
        details = {
            "variants": values,
            "people": people,
            "num_frame_faces": list(raw.num_frame_faces),
            "best_frame_index": raw.frame_indices[best],
        }
        return Score(values[self.variant], details, raw.warnings)

    def caches(self) -> tuple[CacheCount, ...]:
        return (self._references.count,)

    def warm_up(self) -> None:
        """Runs detector, embedder and matching on a grey clip with a made-up face."""
        _, faces, face = self.reader.read_blank()
        self.postprocess(self._similarities(SampleFaces((ReferenceFace(face, 1),), (faces, (face,)), (0, 1))))


def _reference_embeddings(references: Sequence[ReferenceFace]) -> np.ndarray:
    """[P, D]."""
    return np.stack([reference.face.embedding_D for reference in references])


def _embeddings(frames: Sequence[Sequence[Face]]) -> list[np.ndarray]:
    """Of each frame [F, D]."""
    return [np.array([face.embedding_D for face in faces]) for faces in frames]


def scorer_name(variant: str) -> str:
    return "arcface" if variant == "mean" else f"arcface-{variant.replace('_', '-')}"


def _fingerprint(reader: FaceReader, variant: str) -> str:
    score_relevant = {
        "revision": REVISION,
        "variant": variant,
        "detector": reader.detector.model.sha256,
        "detection": asdict(reader.detector.config),
        "embedder": reader.embedder.model.sha256,
        "size_px": reader.embedder.size_px,
        "normalizes_itself": reader.embedder.normalizes_itself,
        "template": TEMPLATE_52.tolist(),
        "max_faces": reader.max_faces,
        "frame_sampling": asdict(SAMPLING),
    }
    return sha256(dumps(score_relevant, sort_keys=True).encode()).hexdigest()


def load(device: str = "cpu", variant: str = "mean") -> ArcFaceScorer:
    """With the bundled YuNet and SFace, on the device or, logged, on the CPU where onnxruntime does not support it.

    ModelFileError if a file is missing or damaged.
    """
    return ArcFaceScorer(bundled_reader(device), variant)


def load_minimum(device: str = "cpu") -> ArcFaceScorer:
    return load(device, "minimum")


def load_best_frame(device: str = "cpu") -> ArcFaceScorer:
    return load(device, "best_frame")


def load_onnx(path: str | Path, device: str = "cpu", variant: str = "mean") -> ArcFaceScorer:
    """With a user's own ArcFace ONNX (such as insightface's w600k_r50 or glintr100) instead of SFace, named after it.

    ModelFileError for a file that is no such network.
    """
    device = face_device(device)
    reader = FaceReader(FaceDetector(device=device), FaceEmbedder.from_path(path, device))
    return ArcFaceScorer(reader, variant, name=f"{scorer_name(variant)}-{Path(path).stem}")
