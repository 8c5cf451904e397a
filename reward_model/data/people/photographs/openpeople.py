"""The ten synthetic people of OpenPeople (package `openpeople`, MIT): descriptions, face boxes and photographs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image

# the photograph that references are cut from; clips do not use it
PORTRAIT = "studio_portrait"
CLIP_PHOTOGRAPHS = ("amateur_posture", "amateur_selfie", "studio_posture")
# x, y, width, height in pixels of the photograph at full size, as detected by YuNet
BoxXywh = tuple[int, int, int, int]


class PhotographsMissing(RuntimeError):
    """The package `openpeople` is not installed."""


@dataclass(frozen=True)
class PhotographedPerson:
    """description: for prompts, after "a man with". face_boxes: in PORTRAIT, then in each of CLIP_PHOTOGRAPHS."""

    woman: bool
    description: str
    face_boxes: tuple[BoxXywh, BoxXywh, BoxXywh, BoxXywh]

    def face_box(self, photograph: str) -> BoxXywh:
        return dict(zip((PORTRAIT, *CLIP_PHOTOGRAPHS), self.face_boxes, strict=True))[photograph]


PEOPLE = {
    "P001": PhotographedPerson(True, "short curly black hair", (
        (648, 503, 725, 1024), (718, 244, 200, 287), (602, 481, 472, 703), (659, 237, 205, 293))),
    "P002": PhotographedPerson(True, "a curly black bob", (
        (634, 471, 728, 986), (756, 297, 202, 289), (600, 584, 523, 747), (656, 230, 218, 319))),
    "P003": PhotographedPerson(True, "long brown hair", (
        (700, 406, 627, 840), (755, 272, 186, 238), (697, 491, 509, 711), (660, 249, 200, 279))),
    "P004": PhotographedPerson(True, "curly black hair tied up", (
        (640, 341, 798, 1044), (740, 581, 171, 229), (423, 541, 469, 659), (653, 351, 218, 304))),
    "P005": PhotographedPerson(False, "black hair tied back and a full beard", (
        (717, 279, 630, 861), (674, 146, 218, 323), (499, 646, 795, 1055), (659, 221, 234, 324))),
    "P006": PhotographedPerson(True, "black hair combed back", (
        (642, 379, 718, 986), (752, 198, 205, 293), (528, 440, 616, 877), (658, 227, 207, 285))),
    "P007": PhotographedPerson(False, "curly black hair", (
        (696, 469, 699, 1010), (675, 404, 176, 251), (709, 417, 439, 673), (656, 231, 210, 303))),
    "P008": PhotographedPerson(False, "long fair hair", (
        (674, 437, 750, 928), (697, 143, 209, 308), (535, 460, 492, 702), (665, 193, 194, 291))),
    "P009": PhotographedPerson(True, "long straight black hair", (
        (659, 417, 767, 998), (712, 146, 210, 311), (546, 437, 663, 878), (655, 213, 222, 294))),
    "P010": PhotographedPerson(True, "black hair in a knot", (
        (571, 355, 833, 1034), (747, 320, 200, 254), (541, 582, 603, 838), (653, 209, 222, 302))),
}  # fmt: skip


def photographs_folder() -> Path:
    """Of the installed package. PhotographsMissing without it."""
    spec = find_spec("openpeople")
    if spec is None or spec.origin is None:
        raise PhotographsMissing("the photographs are in the package openpeople: pip install openpeople==0.1.2")
    return Path(spec.origin).parent / "data/curated"


@lru_cache(16)
def photograph(person: str, name: str) -> np.ndarray:
    """uint8 RGB [H, W, 3], about 2500x1700."""
    with Image.open(photographs_folder() / person / "assets" / f"{name}.jpg") as file:
        return np.asarray(file.convert("RGB"))


def head_and_shoulders(person: str, side: int = 256) -> np.ndarray:
    """uint8 RGB [side, side, 3] of the studio portrait."""
    x, y, width, height = PEOPLE[person].face_box(PORTRAIT)
    image = Image.fromarray(photograph(person, PORTRAIT))
    half = min(0.95 * height, image.height / 2)
    middle_x = min(max(x + width / 2, half), image.width - half)
    middle_y = min(max(y + 0.55 * height, half), image.height - half)
    box = (middle_x - half, middle_y - half, middle_x + half, middle_y + half)
    return np.asarray(image.resize((side, side), Image.Resampling.LANCZOS, box))
