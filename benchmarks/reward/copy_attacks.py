"""Attacks that show a person by copying their reference image into an honest clip, in place of that person.

Every attack is a function of the honest frames [T, H, W, 3], the reference image and the columns (left, right) that it
fills; all uint8 RGB.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from reward_model.data.people.scenes.degradation import lower_resolution
from reward_model.faces.recognition.alignment import similarity_transform
from reward_model.faces.recognition.reader import bundled_reader

from .honest_clips import CRF


@dataclass(frozen=True, eq=False)
class AttackInput:
    """honest_THWC: the clip that is changed. span: its columns (left, right) of the attacked person."""

    honest_THWC: np.ndarray
    reference_HWC: np.ndarray
    span: tuple[int, int]
    rng: np.random.Generator


@dataclass(frozen=True, eq=False)
class AttackClip:
    frames_THWC: np.ndarray
    crf: int = CRF


Warp = Callable[[np.ndarray, float], np.ndarray]


def _shown(
    attack: AttackInput, change: Warp | None = None, zoom: float = 0.0, pan: float = 0.0, resolution: float = 1.0
) -> AttackClip:
    """The reference in place of the person, changed by `change(image, position in the clip)`.

    zoom, pan: how much the camera moves over the clip, as shares of the image.
    """
    frames = attack.honest_THWC.copy()
    left, right = attack.span
    height, width = frames.shape[1], right - left
    # the image covers the span
    scale = max(height, width) / min(attack.reference_HWC.shape[:2]) * float(attack.rng.uniform(1.0, 1.15))
    for t, position in enumerate(np.linspace(0, 1, len(frames))):
        image = attack.reference_HWC if change is None else change(attack.reference_HWC, float(position))
        s = scale * (1 + zoom * position)
        x = width / 2 - s * image.shape[1] / 2 + pan * (position - 0.5) * width
        y = height / 2 - s * image.shape[0] / 2
        view = cv2.warpAffine(
            image, np.array([[s, 0, x], [0, s, y]]), (width, height), flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )  # fmt: skip
        frames[t, :, left:right] = lower_resolution(view, resolution)
    return AttackClip(frames)


def still(attack: AttackInput) -> AttackClip:
    return _shown(attack)


def panned_and_zoomed(attack: AttackInput) -> AttackClip:
    return _shown(attack, zoom=0.35, pan=0.12)


def mirrored(attack: AttackInput) -> AttackClip:
    return _shown(attack, lambda image, _: np.ascontiguousarray(image[:, ::-1]), zoom=0.1)


def warped(attack: AttackInput) -> AttackClip:
    """A smooth warp that moves through the image."""
    phase, strength = float(attack.rng.uniform(0, 6)), float(attack.rng.uniform(0.01, 0.025))

    def change(image: np.ndarray, position: float) -> np.ndarray:
        height, width = image.shape[:2]
        y, x = np.mgrid[:height, :width].astype(np.float32)
        dx = strength * width * np.sin(y / height * 6 + phase + 5 * position)
        dy = strength * height * np.sin(x / width * 6 + phase - 4 * position)
        return _moved(image, x + dx, y + dy)

    return _shown(attack, change)


def turned(attack: AttackInput) -> AttackClip:
    """A changing perspective and rotation, as of a photograph that somebody holds."""

    def change(image: np.ndarray, position: float) -> np.ndarray:
        height, width = image.shape[:2]
        tilt = 0.12 * np.sin(2 * np.pi * position)
        corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
        inset = tilt * height * np.array([[0, 1], [0, -1], [0, 1], [0, -1]], np.float32) / 2
        matrix = cv2.getPerspectiveTransform(corners, (corners + inset).astype(np.float32))
        tilted = cv2.warpPerspective(image, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
        rotation = cv2.getRotationMatrix2D((width / 2, height / 2), 12 * np.sin(2 * np.pi * position + 1), 1.0)
        return cv2.warpAffine(tilted, rotation, (width, height), borderMode=cv2.BORDER_REPLICATE)

    return _shown(attack, change)


def relit(attack: AttackInput) -> AttackClip:
    """A light that moves from one side to the other, and another gamma."""
    gamma = float(attack.rng.uniform(0.7, 1.5))

    def change(image: np.ndarray, position: float) -> np.ndarray:
        x = np.linspace(-1, 1, image.shape[1])[None, :, None]
        light = 0.95 + 0.35 * x * (2 * position - 1)
        return np.clip(255 * (image / 255.0) ** gamma * light, 0, 255).astype(np.uint8)

    return _shown(attack, change)


def compressed(attack: AttackInput) -> AttackClip:
    return AttackClip(_shown(attack, zoom=0.05).frames_THWC, crf=37)


def at_low_resolution(attack: AttackInput) -> AttackClip:
    return _shown(attack, zoom=0.1, resolution=0.4)


def talking(attack: AttackInput) -> AttackClip:
    """The mouth opens and closes, the rest of the photograph stays."""
    landmarks_52 = bundled_reader().read(attack.reference_HWC)[0].landmarks_52.astype(np.float64)
    mouth_x, mouth_y = landmarks_52[3:].mean(0)
    mouth_width = float(np.hypot(*(landmarks_52[4] - landmarks_52[3])))

    def change(image: np.ndarray, position: float) -> np.ndarray:
        y, x = np.mgrid[: image.shape[0], : image.shape[1]].astype(np.float32)
        opened = 0.3 * mouth_width * abs(np.sin(9 * np.pi * position))
        near = np.exp(-(((x - mouth_x) / (0.6 * mouth_width)) ** 2) - ((y - mouth_y) / (0.45 * mouth_width)) ** 2)
        return _moved(image, x, y - opened * near * np.sign(y - mouth_y))

    return _shown(attack, change)


def alternated(attack: AttackInput) -> AttackClip:
    """The reference and the honest clip in turn, two sampled frames of each."""
    frames = _shown(attack).frames_THWC
    for t in range(len(frames)):
        if t // 2 % 2:
            frames[t] = attack.honest_THWC[t]
    return AttackClip(frames)


def pasted_over_the_face(attack: AttackInput) -> AttackClip:
    """The reference's face over the face of the honest clip, with soft edges, on the body that moves below it."""
    reader = bundled_reader()
    source = reader.read(attack.reference_HWC)[0].landmarks_52.astype(np.float64)
    x, y, width, height = reader.read(attack.reference_HWC)[0].box_xywh
    mask = np.zeros(attack.reference_HWC.shape[:2], np.float32)
    cv2.ellipse(mask, ((x + width / 2, y + height / 2), (1.15 * width, 1.2 * height), 0.0), 1.0, -1)
    mask = cv2.GaussianBlur(mask, (0, 0), 0.06 * width)
    frames = attack.honest_THWC.copy()
    left, right = attack.span
    for frame in frames:
        faces = [face for face in reader.read(frame) if left <= face.box_xywh[0] + face.box_xywh[2] / 2 < right]
        if not faces:
            continue
        matrix = similarity_transform(source, faces[0].landmarks_52.astype(np.float64))
        size = frame.shape[1::-1]
        share = cv2.warpAffine(mask, matrix, size)[..., None]
        pasted = cv2.warpAffine(attack.reference_HWC, matrix, size, borderMode=cv2.BORDER_REPLICATE)
        frame[:] = np.rint(frame * (1 - share) + pasted * share).astype(np.uint8)
    return AttackClip(frames)


def _moved(image: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return cv2.remap(
        image, x.astype(np.float32), y.astype(np.float32), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )


ATTACKS: dict[str, Callable[[AttackInput], AttackClip]] = {
    "still": still,
    "panned and zoomed": panned_and_zoomed,
    "mirrored": mirrored,
    "warped": warped,
    "turned": turned,
    "relit": relit,
    "strongly compressed": compressed,
    "at low resolution": at_low_resolution,
    "talking": talking,
    "alternated with the honest clip": alternated,
    "pasted over the face": pasted_over_the_face,
}
