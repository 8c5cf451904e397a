"""Appearance of a face apart from its identity: sharpness, pose, aligned pixels, colours around it.

Measurements are relative to the face itself: pixels of the aligned crop are standardized, colours are divided by the
skin's, so that light, camera and resolution matter little. Aligned coordinates are those of `alignment.TEMPLATE_52`.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from ..recognition.alignment import TEMPLATE_52, TEMPLATE_SIZE_PX, align, similarity_transform
from ..recognition.face import Face
from .copies import SIDE_PX as COPY_PX
from .linking import side_px

# side at which crops are compared: a pixel is then about the detector's jitter
GREY_PX = 24
# side at which sharpness is measured: small and large faces are then alike
SHARPNESS_PX = 48
# the image around a face at half the template's scale: [0, 112] x [0, 144] shows x -56..168 and y -48..240
_AROUND_SIZE = (112, 144)
_AROUND_52 = (TEMPLATE_52 + np.array([56.0, 48.0])) / 2
# (top, bottom, left, right) in that image
_HAIR, _SKIN, _CLOTHES = (20, 32, 40, 72), (54, 68, 46, 66), (104, 144, 16, 96)
# of the aligned crop, without its edges
_INNER = (slice(14, 110), slice(8, 104))
# rows of the standardized crop
_EYES, _MOUTH = slice(4, 12), slice(15, 23)


@dataclass(frozen=True, eq=False)
class FaceAppearance:
    # [GREY_PX, GREY_PX] float64, mean 0 and variance 1
    grey_SS: np.ndarray
    # uint8 [COPY_PX, COPY_PX]: the aligned face as `copies` compares it
    crop_SS: np.ndarray
    # [5, 2] float64: landmarks after alignment, in sides of the template
    shape_52: np.ndarray
    # offset of the nose from the middle of the eyes, in distances between the eyes; 0 from the front
    yaw: float
    # the same in direction of the mouth, in distances between eyes and mouth; about 0.5 from the front
    pitch: float
    # radians
    roll: float
    # of the face's box in its image
    side_px: float
    # log of the Laplacian's variance over the crop's
    sharpness: float
    # hairline and shoulders: mean log colours [3] relative to the skin's, and their standard deviations [3]
    hair_6: np.ndarray
    clothes_6: np.ndarray
    # chroma of the skin
    skin_2: np.ndarray


def measure_appearance(image_HWC: np.ndarray, face: Face) -> FaceAppearance:
    """The appearance of a face that was detected in this uint8 RGB image."""
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
    return FaceAppearance(
        (tiny - tiny.mean()) / max(float(tiny.std()), 1.0), _copy_crop(image_HWC, landmarks_52), shape_52, yaw, pitch,
        roll, side_px(face), sharpness,
        hair_6 - over_skin, clothes_6 - over_skin, np.array([skin[0] - skin[1], skin[2] - skin[1]]),
    )  # fmt: skip


def _copy_crop(image_HWC: np.ndarray, landmarks_52: np.ndarray) -> np.ndarray:
    """uint8 grey [COPY_PX, COPY_PX]; each pixel is an average, so that large and small faces have the same detail."""
    double = 2 * COPY_PX
    matrix = similarity_transform(landmarks_52, TEMPLATE_52 * (double / TEMPLATE_SIZE_PX))
    scale = float(np.hypot(*matrix[:, 0]))
    if scale < 0.5:
        # pixels that are averaged before interpolation, which takes only the nearest ones
        image_HWC = cv2.blur(image_HWC, (round(0.5 / scale) * 2 + 1,) * 2)
    crop = cv2.warpAffine(image_HWC, matrix, (double, double), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return cv2.resize(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), (COPY_PX, COPY_PX), interpolation=cv2.INTER_AREA)


def pose(landmarks_52: np.ndarray) -> tuple[float, float, float]:
    """(yaw, pitch, roll) as in `FaceAppearance`."""
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
    """[6] each of hair, skin and clothes: mean log colours and their standard deviations over the pixels."""
    matrix = similarity_transform(landmarks_52, _AROUND_52)
    around = cv2.warpAffine(
        image_HWC, matrix, _AROUND_SIZE, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    ).astype(np.float64)
    logs = np.log(around + 8.0)
    regions = [logs[top:bottom, left:right] for top, bottom, left, right in (_HAIR, _SKIN, _CLOTHES)]
    return [np.concatenate([region.mean((0, 1)), region.std((0, 1))]) for region in regions]


def crop_change(a: FaceAppearance, b: FaceAppearance, rows: slice = slice(None)) -> float:
    """Mean absolute difference of the standardized crops over these rows.

    0 for the same image, about 1.1 for two that have nothing in common.
    """
    return float(np.abs(a.grey_SS[rows] - b.grey_SS[rows]).mean())


def eyes_change(a: FaceAppearance, b: FaceAppearance) -> float:
    return crop_change(a, b, _EYES)


def mouth_change(a: FaceAppearance, b: FaceAppearance) -> float:
    return crop_change(a, b, _MOUTH)


def shape_change(a: FaceAppearance, b: FaceAppearance) -> float:
    """Root mean square distance of the aligned landmarks, in sides of the template."""
    return float(np.sqrt(((a.shape_52 - b.shape_52) ** 2).sum(-1).mean()))


def pose_change(a: FaceAppearance, b: FaceAppearance) -> float:
    """Distance in yaw and pitch, in the units of `pose`; the alignment removes roll."""
    return float(np.hypot(a.yaw - b.yaw, a.pitch - b.pitch))


def colour_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Root mean square difference of log colours."""
    return float(np.sqrt(((a - b) ** 2).mean()))
