import io

import av
import numpy as np
import pytest
from PIL import Image as Pillow

from identity_reward_client.errors import (
    FrameIndexMismatch,
    InputRefused,
    InvalidMedia,
    InvalidRequest,
    LimitExceeded,
    MissingFps,
)
from identity_reward_client.frame_sampling import FrameSampling
from identity_reward_client.messages import Image, Pixels, Video
from reward_model.decoding.media_decoder import InProcessDecoder, ProbedVideo
from service.media.decoding import decode_references, decode_video, measure_video
from service.settings.settings import Settings
from tests.service.flat_settings import flat_settings

LIMITS = Settings().media
DECODER = InProcessDecoder()
FOUR = FrameSampling("uniform-4", num_frames=4)
RAMP = np.repeat(np.arange(10, dtype=np.uint8)[:, None, None, None] * 20, 32 * 32 * 3, axis=1).reshape(10, 32, 32, 3)


def frames(array: np.ndarray, **more) -> Video:
    return Video(frames=Pixels(shape=list(array.shape), data=array.tobytes()), **({"fps": 5} | more))


def mp4(array: np.ndarray, fps: int = 5) -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=fps, options={"crf": "1"})
        stream.height, stream.width, stream.pix_fmt = array.shape[1], array.shape[2], "yuv420p"
        for frame in array:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return file.getvalue()


def png(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    Pillow.fromarray(array).save(file, "PNG")
    return file.getvalue()


def test_a_file_is_probed_sampled_and_decoded():
    video = decode_video(Video(data=mp4(RAMP)), FOUR, LIMITS, DECODER)
    assert (video.num_source_frames, video.fps, video.frame_indices) == (10, 5, (0, 3, 6, 9))
    assert np.abs(video.frames_THWC[:, 16, 16, 0].astype(int) - [0, 60, 120, 180]).max() <= 4


def test_the_sent_frame_rate_overrides_that_of_the_file():
    sampling = FrameSampling("fps-2", fps=2.0, min_frames=1)
    file = mp4(RAMP)
    assert len(decode_video(Video(data=file), sampling, LIMITS, DECODER).frame_indices) == 4
    video = decode_video(Video(data=file, fps=10), sampling, LIMITS, DECODER)
    assert (video.fps, len(video.frame_indices)) == (10, 2)


def test_compat_uses_the_rate_of_the_sampling():
    sampling = FrameSampling("two-a-second", fps=2.0, min_frames=1, compat_fps=10.0)
    images = [Image(data=png(frame)) for frame in RAMP]
    for video in (Video(data=mp4(RAMP), fps="compat"), frames(RAMP, fps="compat"), Video(images=images, fps="compat"),
                  frames(RAMP[[0, 9]], fps="compat", num_source_frames=10, frame_indices=[0, 9])):  # fmt: skip
        decoded = decode_video(video, sampling, LIMITS, DECODER)
        assert (decoded.fps, decoded.frame_indices) == (10.0, (0, 9))


def test_compat_requires_a_sampling_with_a_rate():
    for video in (Video(data=mp4(RAMP), fps="compat"), frames(RAMP, fps="compat")):
        with pytest.raises(MissingFps, match="uniform-4 assumes none"):
            decode_video(video, FOUR, LIMITS, DECODER)


@pytest.mark.parametrize(
    ("limit", "message"),
    [
        ({"max_frame_pixels": 1000}, "32x32"),
        ({"max_source_frames": 9}, "frames of the source: 10; at most 9"),
        ({"max_duration_s": 1.5}, "seconds of video: 2; at most 1.5"),
        ({"max_decoded_bytes": 4 * 32 * 32 * 3 - 1}, "bytes of 4 decoded 32x32 frames"),
    ],
)
def test_limits_of_a_file_hold_between_probe_and_decode(monkeypatch, limit, message):
    monkeypatch.setattr(ProbedVideo, "frames", lambda *_: pytest.fail("decoded over a limit"))
    with pytest.raises(LimitExceeded, match=message) as caught:
        decode_video(Video(data=mp4(RAMP)), FOUR, flat_settings(**limit).media, DECODER)
    assert caught.value.details["limit"] == next(iter(limit))


def test_a_whole_clip_is_sampled():
    video = decode_video(frames(RAMP), FOUR, LIMITS, DECODER)
    assert video.frame_indices == (0, 3, 6, 9)
    assert np.array_equal(video.frames_THWC, RAMP[[0, 3, 6, 9]])


def test_a_clip_shorter_than_the_sampling_repeats_frames():
    video = decode_video(frames(RAMP[:2]), FOUR, LIMITS, DECODER)
    assert video.frame_indices == (0, 0, 1, 1)
    assert len(video.frames_THWC) == 4


def test_sampled_frames_are_used_unchanged():
    sampled = RAMP[[0, 3, 6, 9]]
    video = decode_video(frames(sampled, num_source_frames=10, frame_indices=[0, 3, 6, 9]), FOUR, LIMITS, DECODER)
    assert (video.num_source_frames, video.frame_indices) == (10, (0, 3, 6, 9))
    assert np.array_equal(video.frames_THWC, sampled)


def test_a_mismatch_names_both_lists():
    with pytest.raises(FrameIndexMismatch, match=r"\[0, 3, 6, 9\] of 10 .* selected \[0, 3, 5, 9\]") as caught:
        decode_video(frames(RAMP[:4], num_source_frames=10, frame_indices=[0, 3, 5, 9]), FOUR, LIMITS, DECODER)
    assert caught.value.details["expected"] == [0, 3, 6, 9]
    assert caught.value.details["given"] == [0, 3, 5, 9]


@pytest.mark.parametrize(
    ("video", "error"),
    [
        (frames(RAMP, fps=None), MissingFps),
        (frames(RAMP, fps=float("nan")), InvalidRequest),
        (frames(RAMP, fps=0.0), InvalidRequest),
        (frames(RAMP, fps=2000.0), InvalidRequest),
        (frames(RAMP[:3], num_source_frames=10, frame_indices=[0, 3, 6, 9]), FrameIndexMismatch),
        (Video(data=b""), InvalidMedia),
        (Video(url="https://example.com/a.mp4"), InputRefused),
        (Video(path="a.mp4"), InputRefused),
        (Video(images=[Image(path="a.png")], fps=5), InputRefused),
    ],
)
def test_invalid_videos_raise_typed_errors(video, error):
    with pytest.raises(error):
        decode_video(video, FOUR, LIMITS, DECODER)
    if video.images is None:  # images are checked when they are decoded
        with pytest.raises(error):
            measure_video(video, FOUR, LIMITS, DECODER)


def test_a_video_is_measured_without_decoding_it():
    assert measure_video(frames(RAMP), FOUR, LIMITS, DECODER) == (4, (32, 32))
    assert measure_video(Video(images=[Image(data=b"x")] * 9, fps=5), FOUR, LIMITS, DECODER) == (4, None)
    decoded = decode_video(Video(data=mp4(RAMP)), FOUR, LIMITS, DECODER).frames_THWC
    assert measure_video(Video(data=mp4(RAMP)), FOUR, LIMITS, DECODER) == (len(decoded), decoded.shape[1:3])


def test_only_the_sampled_images_of_a_list_are_decoded():
    images = [Image(data=png(frame)) for frame in RAMP]
    images[1] = Image(data=b"never decoded")
    video = decode_video(Video(images=images, fps=5), FOUR, LIMITS, DECODER)
    assert np.array_equal(video.frames_THWC, RAMP[[0, 3, 6, 9]])


def test_images_of_two_sizes_are_refused():
    images = [Image(data=png(RAMP[0])), *[Image(data=png(RAMP[i, :16])) for i in range(3)]]
    with pytest.raises(InvalidMedia, match="frame 1 is 32x16, frame 0 is 32x32"):
        decode_video(Video(images=images, fps=5), FOUR, LIMITS, DECODER)


def test_references_are_decoded_in_order():
    references = decode_references([Image(data=png(RAMP[2])), Image(data=png(RAMP[1]))], LIMITS, DECODER)
    assert [image[0, 0, 0] for image in references.images] == [40, 20]
