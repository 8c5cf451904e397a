"""Make the example clips and references from OpenPeople's images: `python examples/make_clips.py`.

OpenPeople (package `openpeople`, MIT) holds images of ten synthetic people. A clip is a camera that moves over one or
two of them. No image is both a reference and in a clip, but for the clip that shows a copied reference. Needs the
`dev`, `serve` and `faces` extras.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import av
import cv2
import numpy as np
from PIL import Image

WIDTH, HEIGHT, FPS, NUM_FRAMES = 832, 480, 16, 40
HERE = Path(__file__).resolve().parent
Frame = np.ndarray  # [H, W, 3] uint8 RGB


@dataclass(frozen=True)
class View:
    """A window of an image, in pixels: centre and width. Its height follows from the aspect ratio of the frame."""

    x: float
    y: float
    width: float

    def towards(self, other: View, t: float) -> View:
        return View(*(a + (b - a) * t for a, b in ((self.x, other.x), (self.y, other.y), (self.width, other.width))))

    def moved(self, dx: float, dy: float = 0.0, zoom: float = 1.0) -> View:
        return View(self.x + dx, self.y + dy, self.width / zoom)


@dataclass(frozen=True)
class StillShot:
    """A camera that moves over a still image from one view to another."""

    person: str
    image: str
    start: View
    end: View

    def frame(self, t: float, width: int = WIDTH, height: int = HEIGHT) -> Frame:
        """The frame at time t in [0, 1], rendered at twice the size and averaged to avoid flicker."""
        view = self.start.towards(self.end, t * t * (3 - 2 * t))
        scale = 2 * width / view.width
        matrix = np.array([[scale, 0, width - scale * view.x], [0, scale, height - scale * view.y]])
        large = cv2.warpAffine(
            load_image(self.person, self.image), matrix, (2 * width, 2 * height),
            flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE,
        )  # fmt: skip
        return cv2.resize(large, (width, height), interpolation=cv2.INTER_AREA)


@cache
def load_image(person: str, name: str) -> Frame:
    spec = find_spec("openpeople")
    if spec is None or spec.origin is None:
        raise SystemExit("the images are in the package openpeople: pip install openpeople==0.1.2")
    return np.array(Image.open(Path(spec.origin).parent / f"data/curated/{person}/assets/{name}.jpg").convert("RGB"))


def side_by_side(
    left: StillShot, right: StillShot, seam: float = 0.5, feather: float = 0.16
) -> Callable[[float], Frame]:
    """Two people in one scene: each image fills its side, and the backgrounds blend."""
    ramp = np.clip((np.arange(WIDTH) / WIDTH - seam) / feather + 0.5, 0, 1)
    share_W = (ramp * ramp * (3 - 2 * ramp))[None, :, None]

    def frame(t: float) -> Frame:
        return np.rint(left.frame(t) * (1 - share_W) + right.frame(t) * share_W).astype(np.uint8)

    return frame


def one_after_another(*shots: StillShot, fade: float = 0.08) -> Callable[[float], Frame]:
    """Shots of equal length; each fades into the next, `fade` of the clip long."""

    def frame(t: float) -> Frame:
        position = min(t * len(shots), len(shots) - 1e-9)
        current = int(position)
        image = shots[current].frame(position - current)
        share = (position - current - 1) / (fade * len(shots)) + 1
        if share <= 0 or current + 1 == len(shots):
            return image
        return cv2.addWeighted(image, 1 - share, shots[current + 1].frame(0.0), share, 0)

    return frame


def lit(clip: Callable[[float], Frame], start: tuple[float, ...], end: tuple[float, ...]) -> Callable[[float], Frame]:
    """The clip under light that changes from one to another: gains of red, green and blue."""

    def frame(t: float) -> Frame:
        gain = np.array(start) + (np.array(end) - np.array(start)) * t
        return np.clip(np.rint(clip(t) * gain), 0, 255).astype(np.uint8)

    return frame


def encode(path: Path, clip: Callable[[float], Frame]) -> None:
    with av.open(str(path), "w", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream("libx264", rate=FPS, options={"crf": "23", "preset": "slow", "threads": "1"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for image in frames(clip):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, "rgb24")))
        container.mux(stream.encode())


def frames(clip: Callable[[float], Frame]) -> Iterator[Frame]:
    return (clip(n / (NUM_FRAMES - 1)) for n in range(NUM_FRAMES))


def reference(person: str) -> Image.Image:
    """Head and shoulders of the studio portrait, 512 x 512."""
    return Image.fromarray(load_image(person, "studio_portrait")).crop((200, 60, 1848, 1708)).resize((512, 512))


def standing(person: str, x: float, y: float, width: float, drift: float = 0.0, zoom: float = 1.0) -> StillShot:
    """The outdoor image; (x, y, width) is the first view, `drift` its motion to the right, `zoom` its magnification."""
    view = View(x, y, width)
    return StillShot(person, "amateur_posture", view, view.moved(drift, 0, zoom))


def selfie(person: str, x: float, y: float, width: float, drift: float = 0.0, zoom: float = 1.0) -> StillShot:
    return replace(standing(person, x, y, width, drift, zoom), image="amateur_selfie")


def expression(column: int, row: int, zoom: float) -> StillShot:
    """One cell of P002's sheet of sixteen expressions."""
    view = View(346 + 570 * column, 228 + 436 * row, 510)
    return StillShot("P002", "emotions_sheet", view, view.moved(0, -6, zoom))


# file names of the references
REFERENCES = {"anna": "P002", "bea": "P001", "carl": "P007"}
GROUPS = [
    {
        "name": "two_people",
        "title": "two people in a park",
        "references": ["bea", "carl"],
        "clips": [
            ("two_people", "both", True),
            ("two_people_evening", "places exchanged, dusk", True),
            ("two_people_one_missing", "carl is missing", False),
            ("two_people_one_replaced", "carl is replaced", False),
            ("two_strangers", "two others", False),
        ],
    },
    {
        "name": "one_person",
        "title": "one person",
        "references": ["anna"],
        "clips": [
            ("one_person", "indoors, then outdoors", True),
            ("one_person_expressions", "expressions, dimming", True),
            ("one_person_switched", "switched in mid-clip", False),
            ("one_person_replaced", "a look-alike", False),
            ("one_person_copied", "the reference, panned", False),
        ],
    },
]

# Windows are chosen by eye, so that faces have one size, lie on one line and do not touch the seam.
CLIPS: dict[str, Callable[[float], Frame]] = {
    "two_people": side_by_side(standing("P001", 1130, 500, 1300, 10, 1.1), standing("P007", 440, 660, 1180, -10, 1.1)),
    "two_people_evening": lit(
        side_by_side(standing("P007", 1120, 670, 1180, 30, 0.92), standing("P001", 520, 530, 1300, 30, 0.92)),
        (1.0, 0.97, 0.9), (0.62, 0.52, 0.5),
    ),
    "two_people_one_missing": standing("P001", 1000, 490, 1300, 30, 1.1).frame,
    "two_people_one_replaced": side_by_side(
        standing("P001", 1130, 500, 1300, 10, 1.1), standing("P008", 460, 430, 1330, -10, 1.1)
    ),
    "two_strangers": side_by_side(
        standing("P005", 1080, 440, 1400, 10, 1.1), standing("P009", 480, 450, 1300, -10, 1.1)
    ),
    "one_person": one_after_another(selfie("P002", 855, 850, 1680, 0, 1.1), standing("P002", 900, 480, 1000, -60, 1.0)),
    "one_person_expressions": lit(
        one_after_another(*(expression(*cell, 1.06) for cell in ((0, 0), (1, 0), (0, 1), (0, 2)))),
        (1.0, 1.0, 1.0), (0.66, 0.72, 0.85),
    ),
    "one_person_switched": one_after_another(
        selfie("P002", 855, 850, 1680, 0, 1.1), selfie("P010", 850, 900, 1690, 0, 1.05)
    ),
    "one_person_replaced": one_after_another(
        selfie("P010", 850, 900, 1690, 0, 1.05), standing("P010", 850, 520, 1000, -60, 1.0)
    ),
    "one_person_copied": StillShot("P002", "studio_portrait", View(980, 980, 2040), View(1060, 960, 1700)).frame,
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, default=HERE, help="folder to write to (default: this one)")
    folder = parser.parse_args().output
    (folder / "clips").mkdir(parents=True, exist_ok=True)
    (folder / "references").mkdir(exist_ok=True)
    groups = []
    for group in GROUPS:
        for name in group["references"]:
            reference(REFERENCES[name]).save(folder / f"references/{name}.jpg", quality=90)
        references = [f"references/{name}.jpg" for name in group["references"]]
        clips = [
            {"file": f"clips/{name}.mp4", "shows": shows, "right": right, "copied": name.endswith("_copied")}
            for name, shows, right in group["clips"]
        ]
        groups.append({**group, "references": references, "clips": clips})
    for name, clip in CLIPS.items():
        path = folder / f"clips/{name}.mp4"
        encode(path, clip)
        print(f"{path.relative_to(folder)}  {path.stat().st_size / 1024:.0f} kB")
    (folder / "examples.json").write_text(json.dumps({"groups": groups}, indent=2) + "\n")


if __name__ == "__main__":
    main()
