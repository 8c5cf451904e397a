import logging

import numpy as np
import pytest

from tests.support.paths import EXAMPLES
from tests.trainer.conftest import flat_clip
from trainer.prompts import Prompt
from trainer.rewards.guards import DuplicateGuard, FaceGuard, PixelGuard, read_image
from trainer.types import ScoredGroup

ANNA = EXAMPLES / "references/anna.jpg"


def group(*clips, **fields):
    rewards = np.zeros(len(clips))
    return ScoredGroup(Prompt("a", "Anna waves.", (ANNA,)), clips, 8.0, rewards, {"identity": rewards}, **fields)


def test_pixels_are_means_over_the_videos_of_a_group():
    red = np.full((2, 8, 8, 3), [200, 0, 0], np.uint8)
    values = PixelGuard(["motion", "saturation"]).measure(group(red, flat_clip(90)))
    assert values == {"motion": 0.0, "saturation": 0.5}


def test_what_no_video_has_is_left_out():
    values = PixelGuard(["motion", "saturation"]).measure(group(flat_clip(9, frames=1)))
    assert values == {"saturation": 0.0}


def test_references_are_compared_with_the_frames():
    picture = read_image(ANNA)
    noise = np.random.default_rng(1).integers(0, 256, (2, *picture.shape), dtype=np.uint8)
    guard = PixelGuard(["reference_similarity"])
    copied = guard.measure(group(np.stack([picture, picture])))["reference_similarity"]
    assert copied > 0.99
    assert guard.measure(group(noise))["reference_similarity"] < copied - 0.2


def test_identical_videos_are_counted_and_named(caplog):
    with caplog.at_level(logging.WARNING):
        values = DuplicateGuard().measure(group(*map(flat_clip, (5, 6, 5, 5))))
    assert values == {"duplicates": 2.0}
    assert "group of prompt a: video 2, 3 repeats another" in caplog.text
    assert DuplicateGuard().measure(group(flat_clip(5), flat_clip(6))) == {"duplicates": 0.0}


def test_faces_are_counted_from_the_details_of_a_source():
    details = {"tracks": {0: {"num_frame_faces": [2, 2, 3, 1]}, 2: {"num_frame_faces": [1, 1]}}}
    videos = [flat_clip(n) for n in range(3)]
    assert FaceGuard("tracks").measure(group(*videos, details=details)) == {"faces": 1.5}
    assert FaceGuard("tracks").measure(group(*videos)) == {}
    assert FaceGuard("tracks").measure(group(*videos, details={"tracks": {0: {"variants": 3}}})) == {}


@pytest.mark.parametrize("guard", [PixelGuard([]), FaceGuard("a"), DuplicateGuard()])
def test_none_of_them_stops_a_run(guard):
    assert guard.check(3, {"reward": 1.0}) is None
