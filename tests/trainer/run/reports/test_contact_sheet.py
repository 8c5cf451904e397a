import numpy as np
import pytest
from PIL import Image

from tests.support.paths import EXAMPLES
from trainer.run.reports.contact_sheet import (
    FRAME_WIDTH,
    NUM_FRAMES,
    REFERENCE_HEIGHT,
    SheetRow,
    contact_sheet,
    write_sheet,
)

REFERENCES = [EXAMPLES / "references/anna.jpg", EXAMPLES / "references/bea.jpg"]


def clip(level, frames=9, size=(36, 64)):
    return np.full((frames, *size, 3), level, np.uint8)


def row(*levels, text="Two people wave.", **options):
    return SheetRow(text, REFERENCES, [clip(level, **options) for level in levels], [f"{level}" for level in levels])


def test_clips_stand_beside_their_references(tmp_path):
    path = tmp_path / "sheets/1.png"
    write_sheet(path, [row(10, 200, 90), row(60)], columns=2)
    with Image.open(path) as opened:
        sheet = np.asarray(opened)
    assert sheet.shape[1] > REFERENCE_HEIGHT + 2 * NUM_FRAMES * FRAME_WIDTH
    for level in (10, 200, 90, 60):
        whole = (sheet == level).all(-1).sum()
        assert whole > NUM_FRAMES * FRAME_WIDTH * 60, "four frames of each clip"
    left = sheet[:, :REFERENCE_HEIGHT]
    assert left.std() > 30, "the references"


def test_short_clips_and_long_texts_fit():
    contact_sheet([row(10, frames=1, text="Two people wave, " * 60)])


def test_rows_without_clips_are_refused():
    for rows in ([], [SheetRow("x", REFERENCES, [], [])], [SheetRow("x", REFERENCES, [clip(1)], [])]):
        with pytest.raises(ValueError, match="a contact sheet needs rows"):
            contact_sheet(rows)
