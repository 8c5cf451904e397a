from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch

from identity_reward_client.errors import InputRefused, InvalidMedia, InvalidRequest, MissingFps
from identity_reward_client.frame_sampling import FrameSampling
from identity_reward_client.inputs.media import needs_sampling, to_image, to_references, to_video
from identity_reward_client.inputs.tensors import Frames, ImageArray, from_pixels
from identity_reward_client.messages import Image, ReferenceSet, Video

UNIFORM_4 = FrameSampling("uniform-4", num_frames=4)
SET_ID = "sha256:" + "ab" * 32


@pytest.mark.parametrize("kind", [str, Path], ids=["str", "Path"])
def test_files_are_sent_whole(files, kind):
    video = to_video(kind(files / "one.mp4"))
    assert video == Video(data=b"bytes of one.mp4")
    assert to_image(kind(files / "a.jpg")) == Image(data=b"bytes of a.jpg")
    assert to_video(kind(files / "one.mp4"), fps=12).fps == 12


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview], ids=lambda kind: kind.__name__)
def test_bytes_are_a_file(kind):
    assert bytes(to_video(kind(b"mp4")).data) == b"mp4"
    assert bytes(to_image(kind(b"jpg")).data) == b"jpg"


@pytest.mark.parametrize(
    "make",
    [
        lambda clip: clip,
        lambda clip: np.moveaxis(clip, -1, 1),
        lambda clip: torch.from_numpy(clip).permute(0, 3, 1, 2),
        lambda clip: list(clip),
        lambda clip: [PIL.Image.fromarray(frame) for frame in clip],
        lambda clip: Frames(clip.astype(np.float32) / 255, value_range=(0, 1)),
        lambda clip: Frames(list(clip.astype(np.float32) / 255), layout="THWC", value_range=(0, 1)),
    ],
    ids=["THWC", "TCHW", "torch", "list of arrays", "list of PIL", "float", "list of floats"],
)
def test_clip_of_33_frames_is_sent_as_four_with_their_indices(clip, make):
    video = to_video(make(clip), 16, UNIFORM_4)
    assert (video.fps, video.num_source_frames, video.frame_indices) == (16, 33, [0, 11, 21, 32])
    np.testing.assert_array_equal(from_pixels(video.frames), clip[[0, 11, 21, 32]])


def test_only_the_sampled_files_of_a_list_are_read(tmp_path):
    for i in (0, 11, 21, 32):
        (tmp_path / f"{i}.png").write_bytes(str(i).encode())
    video = to_video([tmp_path / f"{i}.png" for i in range(33)], 16, UNIFORM_4)
    assert [image.data for image in video.images] == [b"0", b"11", b"21", b"32"]
    assert (video.num_source_frames, video.frame_indices) == (33, [0, 11, 21, 32])


def test_short_clip_repeats_frames(clip):
    video = to_video(clip[:2], 16, UNIFORM_4)
    assert video.frame_indices == [0, 0, 1, 1]
    assert video.frames.shape == [4, 24, 40, 3]


def test_frames_of_mixed_sizes_are_sent_as_images(clip, image):
    video = to_video([clip[0], image], 16, UNIFORM_4)
    assert [image.pixels.shape for image in video.images] == [[24, 40, 3]] * 2 + [[20, 16, 3]] * 2


def test_fps_of_the_clip_overrides_that_of_the_call(clip):
    assert to_video(Frames(clip, fps=8), 16, UNIFORM_4).fps == 8
    assert to_video(Video(data=b"mp4", fps=8), 16).fps == 8
    assert to_video(Video(data=b"mp4"), 16).fps == 16


def test_video_message_is_sent_as_it_is(clip):
    ready = to_video(clip, 16, UNIFORM_4)
    assert to_video(ready) is ready
    assert not needs_sampling(ready)


@pytest.mark.parametrize("video", [np.zeros((2, 4, 5, 3), np.uint8), [b"png"]], ids=["array", "list"])
def test_frames_without_fps_are_refused(video):
    with pytest.raises(MissingFps, match="fps=16"):
        to_video(video, None, UNIFORM_4)


@pytest.mark.parametrize("fps", [0, -1, float("nan"), float("inf"), "fast", [1]], ids=str)
def test_fps_must_be_a_positive_finite_number(fps):
    with pytest.raises(InvalidRequest, match="fps"):
        to_video(b"mp4", fps)


@pytest.mark.parametrize(
    ("video", "error", "message"),
    [
        ("gone.mp4", InvalidRequest, "no video at gone.mp4"),
        (".", InvalidRequest, "folder"),
        ("bad\0name", InvalidRequest, "cannot read"),
        ("https://example.org/a.mp4", InputRefused, "download"),
        (Path("https://example.org/a.mp4"), InputRefused, "download"),
        (b"", InvalidMedia, "empty"),
        (5, InvalidRequest, "got int"),
        ([], InvalidRequest, "empty"),
        (Frames(5), InvalidRequest, "got int"),
        (np.zeros((0, 4, 5, 3), np.uint8), InvalidRequest, "shape"),
        (np.uint8(3), InvalidRequest, "shape"),
    ],
    ids=[
        "missing",
        "folder",
        "NUL",
        "URL",
        "URL as Path",
        "no bytes",
        "number",
        "no pictures",
        "Frames(5)",
        "no frames",
        "scalar",
    ],
)
def test_invalid_videos_are_refused(video, error, message):
    with pytest.raises(error, match=message):
        to_video(video, 16, UNIFORM_4)


def test_references_in_every_form(files, image):
    images = to_references([files / "a.jpg", b"b", image, PIL.Image.fromarray(image), Image(data=b"e")])
    assert [image.pixels is None for image in images] == [True, True, False, False, True]
    assert to_references(ReferenceSet(images=images)) == images
    assert to_references(SET_ID) == SET_ID
    floats = ImageArray(np.moveaxis(image, -1, 0) / np.float32(255), layout="CHW", value_range=(0, 1))
    np.testing.assert_array_equal(from_pixels(to_references([floats])[0].pixels), image)


@pytest.mark.parametrize(
    "references",
    ["a.jpg", Path("a.jpg"), b"jpg", np.zeros((4, 5, 3), np.uint8), Image(data=b"x"), "sha256:1"],
    ids=["str", "Path", "bytes", "array", "Image", "malformed id"],
)
def test_single_reference_without_a_list_is_refused(references):
    with pytest.raises(InvalidRequest, match="list of images"):
        to_references(references)


def test_empty_references_are_refused():
    with pytest.raises(InvalidRequest, match="empty"):
        to_references([])
