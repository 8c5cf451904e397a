"""Picture of the decided pairs on which a model is most wrong."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from identity_reward_client.frame_sampling import FrameSampling
from reward_model.data.records import PreferencePair, resolve

from ..data.media import read_references, read_video
from ..data.pairs import signs_of
from .predictions import Prediction, differences_of

COUNT = 10
# of a clip
NUM_FRAMES = 3
_SAMPLING = FrameSampling("misses", num_frames=NUM_FRAMES)
_HEIGHT_PX, _TEXT_PX, _GAP_PX = 120, 16, 6


def worst_misses(pairs: Sequence[PreferencePair], predictions: Sequence[Prediction], count: int = COUNT) -> list[int]:
    """Indices of the decided pairs with the largest difference of rewards on the wrong side, the worst first."""
    signed_N = np.nan_to_num(differences_of(predictions) * signs_of(pairs), nan=0.0)
    order = np.argsort(signed_N, kind="stable")[:count]
    return [int(n) for n in order if signed_N[n] < 0]


def draw_misses(path: Path, jsonl: Path, pairs: Sequence[PreferencePair], predictions: Sequence[Prediction]) -> None:
    """Writes an image with a row for each of the worst misses: references, frames of the better and of the worse clip.

    pairs, predictions: in the same order, of the file `jsonl`. Nothing is written if there is no miss.
    """
    rows = [_row(jsonl, pairs[n], predictions[n]) for n in worst_misses(pairs, predictions)]
    if not rows:
        return
    width = max(row.width for row in rows)
    sheet = Image.new("RGB", (width, sum(row.height for row in rows)), "white")
    top = 0
    for row in rows:
        sheet.paste(row, (0, top))
        top += row.height
    sheet.save(path, quality=88)


def _row(jsonl: Path, pair: PreferencePair, prediction: Prediction) -> Image.Image:
    references = read_references([resolve(jsonl, reference.path) for reference in pair.references], _SAMPLING)
    clips = [(pair.video_a, prediction.a.reward), (pair.video_b, prediction.b.reward)]
    if signs_of([pair])[0] < 0:
        clips.reverse()
    blocks = [(list(references.images), str(pair.meta.get("mode", "")))]
    for (name, reward), title in zip(clips, ("better", "worse"), strict=True):
        frames_THWC = read_video(resolve(jsonl, name), _SAMPLING, pair.fps).frames_THWC
        named = f"{pair.pair_id}, {title}" if title == "better" else title
        blocks.append((list(frames_THWC), f"{named}: {reward:.2f}"))
    strips = [
        (Image.fromarray(np.concatenate([_scaled(image) for image in images], 1)), text) for images, text in blocks
    ]
    width = sum(strip.width + 2 * _GAP_PX for strip, _ in strips)
    row = Image.new("RGB", (width, _HEIGHT_PX + _TEXT_PX + _GAP_PX), "white")
    drawing, left = ImageDraw.Draw(row), 0
    for strip, text in strips:
        drawing.text((left, 1), text, fill="black")
        row.paste(strip, (left, _TEXT_PX))
        left += strip.width + 2 * _GAP_PX
    return row


def _scaled(image_HWC: np.ndarray) -> np.ndarray:
    height, width = image_HWC.shape[:2]
    return np.asarray(Image.fromarray(image_HWC).resize((round(width * _HEIGHT_PX / height), _HEIGHT_PX)))
