"""Draw what `face-tracks` measured in two example clips: `python examples/draw_scored_clip.py [-o PNG]`.

A row for each clip: the references, four frames with every person's face boxed, and each person's similarity to the
reference over time. This script writes the image of the README. Needs the `serve`, `faces` and `dev` extras.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Rectangle
from PIL import Image

from identity_reward_client import SyncRewardClient, local_client
from reward_model.faces.recognition.reader import bundled_reader

HERE = Path(__file__).resolve().parent
OUTPUT = HERE.parent / "docs/images/scored_clip.png"
COLORS = ("#0072b2", "#d55e00")
NUM_SHOWN = 4
DPI = 110


@dataclass(frozen=True)
class ScoredClip:
    name: str
    references: tuple[str, ...]
    title: str


CLIPS = (
    ScoredClip("two_people_one_replaced", ("bea", "carl"), "carl is replaced by another person"),
    ScoredClip("one_person_switched", ("anna",), "anna becomes another person in mid-clip"),
)


def decode(path: Path) -> np.ndarray:
    """All frames, uint8 RGB [T, H, W, 3]."""
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def read_image(name: str) -> np.ndarray:
    return np.asarray(Image.open(HERE / f"references/{name}.jpg").convert("RGB"))


def face_boxes(clip: ScoredClip, frame_HWC: np.ndarray, similarities: Sequence[float | None]) -> list[Any]:
    """The box of each person's face in a frame: the face whose cosine is the similarity in the answer's details."""
    reader = bundled_reader()
    faces = reader.read(frame_HWC)
    boxes: list[Any] = []
    for name, similarity in zip(clip.references, similarities, strict=True):
        reference, _ = reader.read_largest(read_image(name))
        if similarity is None or reference is None or not faces:
            boxes.append(None)
            continue
        cosines = [float(face.embedding_D @ reference.embedding_D) for face in faces]
        boxes.append(faces[int(np.argmin(np.abs(np.array(cosines) - similarity)))].box_xywh)
    return boxes


def draw_clip(cells: Sequence[Any], clip: ScoredClip, answer: Any) -> None:
    frames_THWC = decode(HERE / f"clips/{clip.name}.mp4")
    people = answer.details["people"]
    shown = np.linspace(0, len(answer.frame_indices) - 1, NUM_SHOWN).round().astype(int)
    stacked = np.vstack([read_image(name) for name in clip.references])
    cells[0].imshow(stacked)
    for n, name in enumerate(clip.references):
        height, width = read_image(name).shape[:2]
        outline = Rectangle((4, n * height + 4), width - 8, height - 8, fill=False, color=COLORS[n], linewidth=3)
        cells[0].add_patch(outline)
        cells[0].text(16, (n + 1) * height - 24, name, color="white", backgroundcolor=COLORS[n], fontsize=9)
    cells[0].set_title("references" if len(people) > 1 else "reference", fontsize=10)
    for cell, t in zip(cells[1:-1], shown, strict=True):
        index = answer.frame_indices[t]
        similarities = [person["frame_similarities"][t] for person in people]
        cell.imshow(frames_THWC[index])
        cell.set_title(f"frame {index}, {index / answer.fps:.1f} s", fontsize=10)
        for n, box in enumerate(face_boxes(clip, frames_THWC[index], similarities)):
            if box is not None:
                x, y, width, height = box
                cell.add_patch(Rectangle((x, y), width, height, fill=False, color=COLORS[n], linewidth=2))
                label = f"{clip.references[n]} {similarities[n]:.2f}"
                cell.text(x, y - 10, label, color="white", backgroundcolor=COLORS[n], fontsize=8)
    for cell in cells[:-1]:
        cell.set_axis_off()
    times_s = np.array(answer.frame_indices) / answer.fps
    for n, person in enumerate(people):
        values = np.array(person["frame_similarities"], float)
        cells[-1].plot(times_s, values, "o-", color=COLORS[n], label=clip.references[n], markersize=3)
    cells[-1].set(ylim=(0, 1), xlabel="seconds", ylabel="similarity")
    cells[-1].set_title(f"reward {answer.reward:.2f}", fontsize=10, fontweight="bold")
    cells[-1].grid(alpha=0.3)
    cells[-1].legend(fontsize=8, loc="upper right" if len(people) == 1 else "center left")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, default=OUTPUT, help="PNG to write")
    output = parser.parse_args().output
    widths = (0.75, *(1.6,) * NUM_SHOWN, 1.5)
    figure, grid = plt.subplots(
        len(CLIPS), len(widths), figsize=(14, 4.4), width_ratios=widths, layout="constrained", squeeze=False
    )
    with SyncRewardClient(local_client(["face-tracks"])) as client:
        for cells, clip in zip(grid, CLIPS, strict=True):
            references = [HERE / f"references/{name}.jpg" for name in clip.references]
            draw_clip(cells, clip, client.score(references, HERE / f"clips/{clip.name}.mp4", details=True))
            title = cells[1].text(0, -0.07, clip.title, transform=cells[1].transAxes, fontsize=10, va="top")
            title.set_in_layout(False)  # else it widens its column
    figure.savefig(output, dpi=DPI)
    Image.open(output).convert("RGB").quantize(192, dither=Image.Dither.FLOYDSTEINBERG).save(output, optimize=True)
    print(f"{output}: {output.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
