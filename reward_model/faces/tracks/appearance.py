"""What a face looks like besides who it is: sharpness, pose, its aligned pixels, the colours around it.

Everything is told relative to the face itself: pixels of the aligned crop are standardised, colours are divided by the
skin's, so that light, camera and resolution matter little. Aligned coordinates are those of `align.TEMPLATE_52`.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from ..recognition.alignment import TEMPLATE_52, TEMPLATE_SIZE_PX, align, similarity_transform
from ..recognition.face import Face
from .linking import side_px

# the crop is compared at this size: a pixel is then about the detector's jitter
GREY_PX = 24
# sharpness is read at this size, at which small and large faces are alike
SHARPNESS_PX = 48
# the picture around a face at half the template's scale: [0, 112] x [0, 144] shows x -56..168 and y -48..240
_AROUND_SIZE = (112, 144)
_AROUND_52 = (TEMPLATE_52 + np.array([56.0, 48.0])) / 2
# (top, bottom, left, right) in that picture
_HAIR, _SKIN, _CLOTHES = (20, 32, 40, 72), (54, 68, 46, 66), (104, 144, 16, 96)
_INNER = (slice(14, 110), slice(8, 104))
_EYES, _MOUTH = slice(4, 12), slice(15, 23)


@dataclass(frozen=True, eq=False)
class Look:
    grey_SS: np.ndarray  # [GREY_PX, GREY_PX] float64, mean 0 and variance 1
    shape_52: np.ndarray  # landmarks after alignment, in sides of the template: float64
    yaw: float  # the nose's way from between the eyes, in distances of the eyes; 0 from the front
    pitch: float  # the same on the way down to the mouth; about 0.5 from the front
    roll: float  # radians
    side_px: float  # of the face in its picture
    sharpness: float  # log of the Laplacian's variance over the crop's
    # of the hairline and of the shoulders: mean log colours [3] over the skin's, and their spreads [3]; the skin's own
    # chroma [2]
    hair_6: np.ndarray
    clothes_6: np.ndarray
    skin_2: np.ndarray


def look_at(image_HWC: np.ndarray, face: Face) -> Look:
    """Of a face found in this uint8 RGB picture."""
    landmarks_52 = face.landmarks_52.astype(np.float64)
    grey = cv2.cvtColor(align(image_HWC, face.landmarks_52), cv2.COLOR_RGB2GRAY).astype(np.float64)
    inner = grey[_INNER]
    small = cv2.resize(inner, (SHARPNESS_PX, SHARPNESS_PX), interpolation=cv2.INTER_AREA)
    # a flat crop has no sharpness; a variance of 1 grey level is noise
    sharpness = float(np.log((cv2.Laplacian(small, cv2.CV_64F).var() + 0.1) / (small.var() + 1.0)))
    tiny = cv2.resize(inner, (GREY_PX, GREY_PX), interpolation=cv2.INTER_AREA)
    matrix = similarity_transform(landmarks_52, TEMPLATE_52)
    shape_52 = (landmarks_52 @ matrix[:, :2].T + matrix[:, 2]) / TEMPLATE_SIZE_PX
    yaw, pitch, roll = pose(landmarks_52)
    hair_6, skin_6, clothes_6 = _colours(image_HWC, landmarks_52)
    skin = skin_6[:3]
    over_skin = np.concatenate([skin, np.zeros(3)])
    return Look(
        (tiny - tiny.mean()) / max(float(tiny.std()), 1.0), shape_52, yaw, pitch, roll, side_px(face), sharpness,
        hair_6 - over_skin, clothes_6 - over_skin, np.array([skin[0] - skin[1], skin[2] - skin[1]]),
    )  # fmt: skip


def pose(landmarks_52: np.ndarray) -> tuple[float, float, float]:
    """(yaw, pitch, roll) as `Look` tells them."""
    eyes, mouth = landmarks_52[:2], landmarks_52[3:]
    across = eyes[1] - eyes[0]
    distance = max(float(np.hypot(*across)), 1e-6)
    right = across / distance
    down = np.array([-right[1], right[0]])
    to_nose, to_mouth = landmarks_52[2] - eyes.mean(0), mouth.mean(0) - eyes.mean(0)
    height = float(to_mouth @ down)
    height = max(abs(height), 0.1 * distance)
    return float(to_nose @ right) / distance, float(to_nose @ down) / height, float(np.arctan2(across[1], across[0]))


def _colours(image_HWC: np.ndarray, landmarks_52: np.ndarray) -> list[np.ndarray]:
    """Mean log colours and their spreads over the pixels, [6] each: of hair, skin and clothes."""
    matrix = similarity_transform(landmarks_52, _AROUND_52)
    around = cv2.warpAffine(
        image_HWC, matrix, _AROUND_SIZE, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    ).astype(np.float64)
    logs = np.log(around + 8.0)
    regions = [logs[top:bottom, left:right] for top, bottom, left, right in (_HAIR, _SKIN, _CLOTHES)]
    return [np.concatenate([region.mean((0, 1)), region.std((0, 1))]) for region in regions]


def crop_change(a: Look, b: Look, rows: slice = slice(None)) -> float:
    """Mean absolute difference of the standardised crops over these rows: 0 for the same picture, about 1.1 for two
    that have nothing in common."""
    return float(np.abs(a.grey_SS[rows] - b.grey_SS[rows]).mean())


def eyes_change(a: Look, b: Look) -> float:
    return crop_change(a, b, _EYES)


def mouth_change(a: Look, b: Look) -> float:
    return crop_change(a, b, _MOUTH)


def shape_change(a: Look, b: Look) -> float:
    """Root mean square way of the aligned landmarks, in sides of the template."""
    return float(np.sqrt(((a.shape_52 - b.shape_52) ** 2).sum(-1).mean()))


def pose_change(a: Look, b: Look) -> float:
    """Yaw and pitch together, in the units of `pose`; roll is left to the alignment."""
    return float(np.hypot(a.yaw - b.yaw, a.pitch - b.pitch))


def colour_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Of log colours."""
    return float(np.sqrt(((a - b) ** 2).mean()))
