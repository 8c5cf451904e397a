import numpy as np
import pytest
from PIL import Image

from tests.examples.scripts import EXAMPLES, load_script
from tests.support.paths import DOCS

MAX_BYTES = 400_000


@pytest.fixture(scope="module")
def script():
    return load_script("draw_scored_clip")


def test_each_person_gets_the_face_whose_similarity_is_in_the_details(script):
    clip = script.CLIPS[0]
    frame_HWC = script.decode(EXAMPLES / f"clips/{clip.name}.mp4")[0]
    boxes = script.face_boxes(clip, frame_HWC, [0.759, 0.215])
    centres = [x + width / 2 for x, _, width, _ in boxes]
    assert centres[0] < frame_HWC.shape[1] / 2 < centres[1]
    assert script.face_boxes(clip, frame_HWC, [None, 0.215])[0] is None
    assert script.face_boxes(clip, np.zeros_like(frame_HWC), [0.759, 0.215]) == [None, None]


def test_the_committed_image_is_small_and_wide_enough_for_the_page():
    path = DOCS / "images/scored_clip.png"
    assert path.stat().st_size < MAX_BYTES
    assert Image.open(path).width >= 1400
