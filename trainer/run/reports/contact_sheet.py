"""Contact sheets: one PNG with frames of clips and their rewards, the reference images at the left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from trainer.prompts.references import read_upright

UInt8 = NDArray[np.uint8]
# pixels: width of a frame, height of a reference, gap between images, height of a line of text
FRAME_WIDTH = 144
REFERENCE_HEIGHT = 81
GAP = 4
TEXT_HEIGHT = 16
# frames of a clip, at equal intervals over it
NUM_FRAMES = 4
_BACKGROUND, _INK = (255, 255, 255), (32, 32, 32)


@dataclass(frozen=True, eq=False)
class SheetRow:
    """One prompt: its text and references, and clips [T, H, W, 3] uint8 with a caption each."""

    text: str
    references: Sequence[Path]
    clips: Sequence[UInt8]
    captions: Sequence[str]


def contact_sheet(rows: Sequence[SheetRow], columns: int = 2) -> Image.Image:
    """Draws the rows below each other, with `columns` clips side by side. ValueError for no rows, or rows without clips
    or with another number of captions."""
    if not rows or not all(row.clips and len(row.clips) == len(row.captions) for row in rows):
        raise ValueError("a contact sheet needs rows, and every row clips with a caption each")
    references = [[_open(path) for path in row.references] for row in rows]
    left = max(sum(image.width + GAP for image in images) for images in references)
    blocks = [_block(row, images, left, columns) for row, images in zip(rows, references, strict=True)]
    sheet = Image.new(
        "RGB",
        (max(block.width for block in blocks), sum(block.height + 2 * GAP for block in blocks) - 2 * GAP),
        _BACKGROUND,
    )
    top = 0
    for block in blocks:
        sheet.paste(block, (0, top))
        top += block.height + 2 * GAP
    return sheet


def sheet_frames(clip_THWC: UInt8) -> UInt8:
    """The frames of a clip that a sheet shows."""
    indices = np.linspace(0, len(clip_THWC) - 1, min(NUM_FRAMES, len(clip_THWC))).round().astype(int)
    return clip_THWC[indices]


def reward_text(reward: float) -> str:
    """For a caption; "no reward" for a missing one."""
    return "no reward" if np.isnan(reward) else f"reward {reward:.3f}"


def write_sheet(path: Path, rows: Sequence[SheetRow], columns: int = 2) -> Image.Image:
    """Writes the contact sheet as PNG, and its folder where that is missing."""
    sheet = contact_sheet(rows, columns)
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path, format="PNG")
    return sheet


def _block(row: SheetRow, references: Sequence[Image.Image], left: int, columns: int) -> Image.Image:
    """The prompt above, references in the `left` pixels, clips in a grid beside them."""
    strips = [_strip(clip, caption) for clip, caption in zip(row.clips, row.captions, strict=True)]
    cell = max(s.width for s in strips) + 2 * GAP, max(s.height for s in strips) + GAP
    left += GAP
    lines = -(-len(strips) // columns)
    size = left + min(columns, len(strips)) * cell[0], TEXT_HEIGHT + max(lines * cell[1], REFERENCE_HEIGHT + GAP)
    block = Image.new("RGB", size, _BACKGROUND)
    _write(block, (0, 0), row.text)
    x = 0
    for image in references:
        block.paste(image, (x, TEXT_HEIGHT))
        x += image.width + GAP
    for n, strip in enumerate(strips):
        block.paste(strip, (left + n % columns * cell[0], TEXT_HEIGHT + n // columns * cell[1]))
    return block


def _strip(clip_THWC: UInt8, caption: str) -> Image.Image:
    """Frames of a clip side by side, the caption below."""
    frames = [_frame(frame) for frame in sheet_frames(clip_THWC)]
    strip = Image.new("RGB", (len(frames) * FRAME_WIDTH, frames[0].height + TEXT_HEIGHT), _BACKGROUND)
    for n, frame in enumerate(frames):
        strip.paste(frame, (n * FRAME_WIDTH, 0))
    _write(strip, (0, frames[0].height), caption)
    return strip


def _open(path: Path) -> Image.Image:
    image = read_upright(path)
    return image.resize((max(round(image.width * REFERENCE_HEIGHT / image.height), 1), REFERENCE_HEIGHT))


def _frame(frame_HWC: UInt8) -> Image.Image:
    height, width, _ = frame_HWC.shape
    return Image.fromarray(frame_HWC).resize((FRAME_WIDTH, max(round(height * FRAME_WIDTH / width), 1)))


def _write(image: Image.Image, place: tuple[int, int], text: str) -> None:
    """One line of text, cut where the image ends."""
    font, draw = ImageFont.load_default(size=11), ImageDraw.Draw(image)
    line = " ".join(text.split())
    width = image.width - place[0]
    if draw.textlength(line, font=font) > width:
        while line and draw.textlength(f"{line}…", font=font) > width:
            line = line[:-1]
        line += "…"
    draw.text((place[0], place[1] + 1), line, fill=_INK, font=font)
