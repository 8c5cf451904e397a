"""Augmentation of features: changes as by another camera, another light, or other people than those of training.

Both clips of a pair get the same changes where a camera would change both alike.

Legend: N pairs, P people, T frames, F features of a frame, C features of a person over a clip, G groups of features.
"""

from __future__ import annotations

import torch
from torch import Tensor

from reward_model.faces.tracks.feature_batch import FeatureBatch
from reward_model.faces.tracks.features import FRAME_FEATURES, PERSON_FEATURES

from ..configs.face_tracks import TrackAugmentation

# group -> (features of a frame, features of a person) that are hidden together, so that the network cannot rely on one
# kind alone
GROUPS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "hair": (("hair_reference", "hair_self"), ()),
    "clothes": (("clothes_reference", "clothes_self"), ()),
    "skin": (("skin_self",), ()),
    "sharpness": (("sharpness_reference", "sharpness_self"), ("reference_sharpness",)),
    "size": (("side_px", "side_frame"), ("reference_side_px",)),
    "pose": (("yaw", "pitch", "roll", "pose_reference"), ("reference_yaw", "reference_pitch")),
    "detector": (("detector_score",), ()),
    "motion": (
        (
            "pose_previous", "shape_previous", "shape_self", "crop_previous", "crop_self", "eyes_previous",
            "mouth_previous",
        ),
        (),
    ),
    "reference pixels": (("shape_reference", "crop_reference"), ()),
}  # fmt: skip
# number of frames of a clip that are never hidden
MIN_FRAMES = 4
_FRAME, _PERSON = list(FRAME_FEATURES), list(PERSON_FEATURES)


def _frame(*names: str) -> list[int]:
    return [_FRAME.index(name) for name in names]


def _person(*names: str) -> list[int]:
    return [_PERSON.index(name) for name in names]


_SIMILARITIES = _frame("similarity", "margin_references", "margin_faces"), _person("mean_similarity", "mean_margin")
_SHARPNESS = _frame("sharpness_reference")
_SIZES = _frame("side_px", "side_frame")
_MOTION = _frame(*GROUPS["motion"][0])
# [G, F] and [G, C]: 1 where a group contains a feature
_FRAME_GROUPS_GF = torch.tensor([[name in of_frame for name in _FRAME] for of_frame, _ in GROUPS.values()]).float()
_PERSON_GROUPS_GC = torch.tensor([[name in of_person for name in _PERSON] for _, of_person in GROUPS.values()]).float()


def augment(
    a: FeatureBatch, b: FeatureBatch, options: TrackAugmentation, generator: torch.Generator
) -> tuple[FeatureBatch, FeatureBatch]:
    """Augmented copies of both clips of N pairs; hidden features are NaN."""
    N = len(a)

    def normal(deviation: float) -> Tensor:
        return deviation * torch.randn(N, 1, 1, 1, generator=generator)

    shared = {
        "similarity": normal(options.similarity_shift),
        "sharpness": normal(options.sharpness_shift),
        "size": normal(options.size_shift),
        "motion": 2 ** normal(options.motion_scale),
    }
    hidden_NG = torch.rand(N, len(GROUPS), generator=generator) < options.group_dropout
    first = _augmented(a, options, shared, hidden_NG, generator)
    return first, _augmented(b, options, shared, hidden_NG, generator)


def _augmented(
    batch: FeatureBatch,
    options: TrackAugmentation,
    shared: dict[str, Tensor],
    hidden_NG: Tensor,
    generator: torch.Generator,
) -> FeatureBatch:
    frames, person = batch.frames_NPTF.clone(), batch.person_NPC.clone()
    N, P, T, _ = frames.shape
    in_frames, over_clip = _SIMILARITIES
    noise = options.similarity_noise * torch.randn(N, P, T, 1, generator=generator)
    frames[..., in_frames] += shared["similarity"] + noise
    person[..., over_clip] += shared["similarity"][..., 0]
    frames[..., _SHARPNESS] += shared["sharpness"]
    frames[..., _SIZES] += shared["size"]
    frames[..., _MOTION] *= shared["motion"]
    hidden_NF, hidden_NC = (hidden_NG.float() @ members > 0 for members in (_FRAME_GROUPS_GF, _PERSON_GROUPS_GC))
    frames = frames.masked_fill(hidden_NF[:, None, None], torch.nan)
    person = person.masked_fill(hidden_NC[:, None], torch.nan)
    share_N1 = options.frame_dropout * torch.rand(N, 1, generator=generator)
    order_NT = torch.rand(N, T, generator=generator)
    dropped_NT = (order_NT < share_N1) & (order_NT.argsort(1).argsort(1) < T - MIN_FRAMES)
    frames = frames.masked_fill(dropped_NT[:, None, :, None], torch.nan)
    # the main term is exact for its pixels, so it isn't augmented
    return FeatureBatch(frames, person, batch.people_NP, batch.terms_N3)
