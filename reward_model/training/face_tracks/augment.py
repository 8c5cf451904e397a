"""Changes of features that stand for another camera, another light and other people than those that were trained on.

N pairs, P people, T frames. A pair's clips get the same draws where both would be changed alike, as by a camera.
"""

from __future__ import annotations

import torch
from torch import Tensor

from reward_model.faces.tracks.features import FRAME_FEATURES, PERSON_FEATURES
from reward_model.faces.tracks.reward_head import FeatureBatch

from .config import TrackAugmentation

# hidden together, so that the head can't lean on one kind of number alone
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
_FRAME, _PERSON = list(FRAME_FEATURES), list(PERSON_FEATURES)


def _frame(*names: str) -> list[int]:
    return [_FRAME.index(name) for name in names]


def _person(*names: str) -> list[int]:
    return [_PERSON.index(name) for name in names]


_SIMILARITIES = _frame("similarity", "margin_references", "margin_faces"), _person("mean_similarity", "mean_margin")
_SHARPNESS = _frame("sharpness_reference")
_SIZES = _frame("side_px", "side_frame")
_MOTION = _frame(*GROUPS["motion"][0])
# [groups, F] and [groups, C]: 1 where a group holds a number
_FRAME_MEMBERS = torch.tensor([[name in of_frame for name in _FRAME] for of_frame, _ in GROUPS.values()]).float()
_PERSON_MEMBERS = torch.tensor([[name in of_person for name in _PERSON] for _, of_person in GROUPS.values()]).float()


def augment(
    a: FeatureBatch, b: FeatureBatch, how: TrackAugmentation, draw: torch.Generator
) -> tuple[FeatureBatch, FeatureBatch]:
    N = len(a)

    def normal(spread: float) -> Tensor:
        return spread * torch.randn(N, 1, 1, 1, generator=draw)

    shared = {
        "similarity": normal(how.similarity_shift),
        "sharpness": normal(how.sharpness_shift),
        "size": normal(how.size_shift),
        "motion": 2 ** normal(how.motion_scale),
    }
    hidden = torch.rand(N, len(GROUPS), generator=draw) < how.group_dropout
    return _changed(a, how, shared, hidden, draw), _changed(b, how, shared, hidden, draw)


def _changed(
    batch: FeatureBatch, how: TrackAugmentation, shared: dict[str, Tensor], hidden: Tensor, draw: torch.Generator
) -> FeatureBatch:
    frames, person = batch.frames_NPTF.clone(), batch.person_NPC.clone()
    N, P, T, _ = frames.shape
    in_frames, over_clip = _SIMILARITIES
    frames[..., in_frames] += shared["similarity"] + how.similarity_noise * torch.randn(N, P, T, 1, generator=draw)
    person[..., over_clip] += shared["similarity"][..., 0]
    frames[..., _SHARPNESS] += shared["sharpness"]
    frames[..., _SIZES] += shared["size"]
    frames[..., _MOTION] *= shared["motion"]
    gone_NF, gone_NC = (hidden.float() @ members > 0 for members in (_FRAME_MEMBERS, _PERSON_MEMBERS))
    frames = frames.masked_fill(gone_NF[:, None, None], torch.nan)
    person = person.masked_fill(gone_NC[:, None], torch.nan)
    # the share to hide is drawn for each clip; at least four frames stay
    share_N = how.frame_dropout * torch.rand(N, 1, generator=draw)
    order_NT = torch.rand(N, T, generator=draw)
    gone_NT = (order_NT < share_N) & (order_NT.argsort(1).argsort(1) < T - 4)
    frames = frames.masked_fill(gone_NT[:, None, :, None], torch.nan)
    return FeatureBatch(frames, person, batch.people_NP)
