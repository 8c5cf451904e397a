"""OpenPeople's ten synthetic people (package `openpeople`, MIT): what they look like, and where their faces are.

Boxes of faces are YuNet's, (x, y, width, height) in pixels of the picture at full size.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image

PORTRAIT = "studio_portrait"
# in clips; the portrait is the reference's alone
PICTURES = ("amateur_posture", "amateur_selfie", "studio_posture")
Box = tuple[int, int, int, int]


class NoPhotos(RuntimeError):
    """The package isn't installed."""


@dataclass(frozen=True)
class Photographed:
    """`faces`: of PORTRAIT, then of PICTURES."""

    woman: bool
    words: str
    faces: tuple[Box, Box, Box, Box]

    def face(self, picture: str) -> Box:
        return dict(zip((PORTRAIT, *PICTURES), self.faces, strict=True))[picture]


PEOPLE = {
    "P001": Photographed(True, "short curly black hair", (
        (648, 503, 725, 1024), (718, 244, 200, 287), (602, 481, 472, 703), (659, 237, 205, 293))),
    "P002": Photographed(True, "a curly black bob", (
        (634, 471, 728, 986), (756, 297, 202, 289), (600, 584, 523, 747), (656, 230, 218, 319))),
    "P003": Photographed(True, "long brown hair", (
        (700, 406, 627, 840), (755, 272, 186, 238), (697, 491, 509, 711), (660, 249, 200, 279))),
    "P004": Photographed(True, "curly black hair tied up", (
        (640, 341, 798, 1044), (740, 581, 171, 229), (423, 541, 469, 659), (653, 351, 218, 304))),
    "P005": Photographed(False, "black hair tied back and a full beard", (
        (717, 279, 630, 861), (674, 146, 218, 323), (499, 646, 795, 1055), (659, 221, 234, 324))),
    "P006": Photographed(True, "black hair combed back", (
        (642, 379, 718, 986), (752, 198, 205, 293), (528, 440, 616, 877), (658, 227, 207, 285))),
    "P007": Photographed(False, "curly black hair", (
        (696, 469, 699, 1010), (675, 404, 176, 251), (709, 417, 439, 673), (656, 231, 210, 303))),
    "P008": Photographed(False, "long fair hair", (
        (674, 437, 750, 928), (697, 143, 209, 308), (535, 460, 492, 702), (665, 193, 194, 291))),
    "P009": Photographed(True, "long straight black hair", (
        (659, 417, 767, 998), (712, 146, 210, 311), (546, 437, 663, 878), (655, 213, 222, 294))),
    "P010": Photographed(True, "black hair in a knot", (
        (571, 355, 833, 1034), (747, 320, 200, 254), (541, 582, 603, 838), (653, 209, 222, 302))),
}  # fmt: skip


def folder() -> Path:
    spec = find_spec("openpeople")
    if spec is None or spec.origin is None:
        raise NoPhotos("the photographs are in the package openpeople: pip install openpeople==0.1.2")
    return Path(spec.origin).parent / "data/curated"


@lru_cache(16)
def photograph(person: str, picture: str) -> np.ndarray:
    """uint8 RGB [H, W, 3], about 2500x1700."""
    with Image.open(folder() / person / "assets" / f"{picture}.jpg") as file:
        return np.asarray(file.convert("RGB"))


def head_and_shoulders(person: str, side: int = 256) -> np.ndarray:
    """uint8 RGB [side, side, 3] of the studio portrait."""
    x, y, width, height = PEOPLE[person].face(PORTRAIT)
    picture = Image.fromarray(photograph(person, PORTRAIT))
    half = min(0.95 * height, picture.height / 2)
    middle_x = min(max(x + width / 2, half), picture.width - half)
    middle_y = min(max(y + 0.55 * height, half), picture.height - half)
    box = (middle_x - half, middle_y - half, middle_x + half, middle_y + half)
    return np.asarray(picture.resize((side, side), Image.Resampling.LANCZOS, box))
