import numpy as np
import pytest

from reward_model.faces.warnings.still_videos import MAX_STILL_CHANGE, largest_change, still_video_warnings
from reward_model.types import Video
from tests.support.media import encode_video, panned_portrait, portrait
from tests.support.paths import EXAMPLES, MEDIA

ANNA = EXAMPLES / "references/anna.jpg"


def codes(video: Video) -> list[str]:
    return [warning.code for warning in still_video_warnings(video)]


@pytest.mark.parametrize(
    ("codec", "container", "options"),
    [
        ("libx264", "mp4", {"crf": "18"}),
        ("libx264", "mp4", {"crf": "35"}),
        ("libx264", "mp4", {"crf": "28", "g": "12"}),
        ("libvpx", "webm", {"b": "200k"}),
    ],
)
def test_a_repeated_photograph_is_still_as_every_codec_writes_it(file_sample, tmp_path, codec, container, options):
    frames = np.stack([np.asarray(portrait("P001", 240))] * 40)
    path = tmp_path / f"still.{container}"
    path.write_bytes(encode_video(frames, 12, container, codec, **options))
    assert codes(file_sample(path, ANNA).video) == ["still_video"]


def test_the_message_has_the_change_and_the_threshold(file_sample):
    (warning,) = still_video_warnings(file_sample(MEDIA / "frozen_reference_anna.mp4", ANNA).video)
    assert (warning.code, warning.reference_index) == ("still_video", None)
    assert "its 16 sampled frames differ by 1 of 255 grey levels at most (threshold 6)" in warning.message


@pytest.mark.parametrize("video", sorted(EXAMPLES.glob("clips/*.mp4")), ids=lambda path: path.stem)
def test_example_clips_move(file_sample, video):
    assert codes(file_sample(video, ANNA).video) == []


def test_a_moving_camera_and_a_blink_are_motion():
    panned = panned_portrait("P001")
    assert largest_change(panned) > 10 * MAX_STILL_CHANGE
    still = np.stack([np.asarray(portrait("P001", 240))] * 4)
    assert largest_change(still) == 0
    still[2, 100:106, 90:110] = 255 - still[2, 100:106, 90:110]
    assert largest_change(still) > MAX_STILL_CHANGE


def test_repeated_indices_are_one_frame():
    frames = panned_portrait("P001")[:2]
    assert codes(Video(frames[[0, 0, 0]], 8.0, 1, (0, 0, 0))) == []
    assert codes(Video(frames[[0, 0]], 8.0, 2, (0, 1))) == ["still_video"]
