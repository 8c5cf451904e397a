import itertools
import threading

import numpy as np
import pytest

from identity_reward_client.errors import InvalidMedia
from reward_model.decoding.decoders import DECODERS, decode_frames, decoder, probe

BOTH = sorted(DECODERS)
KINDS = {
    "mp4": {"name": "a.mp4"},
    "short-gops": {"name": "a.mp4", "options": {"g": "5"}, "frames": 40},
    "open-gops": {"name": "a.mp4", "options": {"g": "6", "x264-params": "open-gop=1:bframes=3"}, "frames": 40},
    "hevc": {"name": "a.mp4", "codec": "libx265", "options": {"x265-params": "log-level=none"}},
    "vp8": {"name": "a.webm", "codec": "libvpx", "frames": 60},
    "vp9": {"name": "a.webm", "codec": "libvpx-vp9"},
    "matroska-without-a-frame-count": {"name": "a.mkv"},
    "avi": {"name": "a.avi", "codec": "mpeg4"},
    "gif": {"name": "a.gif", "codec": "gif", "fmt": "rgb8", "size": (60, 80)},
    "turned-90": {"name": "a.mp4", "rotation": 90},
    "turned-180": {"name": "a.mp4", "rotation": 180},
    "turned-270": {"name": "a.mp4", "rotation": 270},
    "ntsc": {"name": "a.mp4", "fps": 24},
    "one-frame": {"name": "a.mp4", "frames": 1},
    "with-sound": {"name": "a.mp4", "audio": True},
    "odd-size": {"name": "a.mp4", "size": (91, 121), "fmt": "yuv444p"},
}


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_decoders_agree_on_indices_and_pixels(clip, kind):
    data = clip(**KINDS[kind])
    pyav, decord = (decoder(name).probe(data) for name in ("pyav", "decord"))
    assert (pyav.num_frames, pyav.width, pyav.height) == (decord.num_frames, decord.width, decord.height)
    assert pyav.fps == pytest.approx(decord.fps, rel=1e-6)
    assert pyav.num_frames == KINDS[kind].get("frames", 30)
    indices = [min(i, pyav.num_frames - 1) for i in (0, 7, 7, 3, pyav.num_frames // 2, pyav.num_frames)]
    frames, decord_frames = (decoder(name).decode(data, indices) for name in ("pyav", "decord"))
    assert frames.dtype == np.uint8
    assert frames.shape == (6, pyav.height, pyav.width, 3)
    assert np.array_equal(frames, decord_frames)
    assert np.array_equal(frames[1], frames[2])
    assert np.array_equal(frames[0], frames[1]) == (pyav.num_frames == 1)


def test_seeking_returns_the_frames_of_a_sequential_read(clip):
    for kind in ("short-gops", "open-gops", "mp4", "vp9"):
        data = clip(**KINDS[kind])
        sequential = decode_frames(data, range(probe(data).num_frames))
        for i in (0, 5, 6, 7, 11, 12, 13, 25):
            assert np.array_equal(decode_frames(data, [i])[0], sequential[i]), (kind, i)
        assert np.array_equal(decode_frames(data, [0, 13, 29]), sequential[[0, 13, 29]])


def test_probe_states_codec_size_rate_and_duration(clip):
    properties = probe(clip(**KINDS["turned-90"]))
    assert (properties.codec, properties.width, properties.height, properties.rotation) == ("h264", 240, 416, 90)
    assert (properties.num_frames, properties.fps, properties.duration_s) == (30, 10.0, 3.0)
    assert "mp4" in properties.container


@pytest.mark.parametrize("name", BOTH)
def test_index_in_a_clip_of_variable_frame_rate_means_a_time(clip, name):
    """20 frames in the first second and 10 in the next four: an index means the frame shown in the middle of its
    interval."""
    times = [50 * i for i in range(20)] + [1000 + 400 * i for i in range(10)]
    data = clip(times_ms=times)
    properties = decoder(name).probe(data)
    assert properties.num_frames == 30
    assert properties.fps == pytest.approx(30 / properties.duration_s, rel=1e-6)
    assert 4.6 < properties.duration_s <= 5.0
    shown = decoder("pyav").decode(data, range(30))
    assert np.array_equal(decoder(name).decode(data, range(30)), shown)
    number = [max(n for n, ms in enumerate(times) if ms <= 1000 * (i + 0.5) / properties.fps) for i in range(30)]
    # adjacent indices in the slow part can mean the same frame
    same = [bool(np.array_equal(a, b)) for a, b in itertools.pairwise(shown)]
    assert same == [a == b for a, b in itertools.pairwise(number)]
    assert 10 < sum(same) < 20


MP4 = {"name": "a.mp4"}
FAST_START = {"name": "fast.mp4", "options": {"g": "5"}}
BROKEN = {
    "empty": (lambda clip: b"", "empty"),
    "zeros": (lambda clip: bytes(4096), "zeros"),
    "text": (lambda clip: b"hello world, not a clip\n" * 40, "no video file of a known kind"),
    "playlist": (lambda clip: b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n/etc/passwd\n", "no video file"),
    "concatenation": (lambda clip: b"ffconcat version 1.0\nfile /etc/passwd\n", "no video file"),
    "png": (lambda clip: b"\x89PNG\r\n\x1a\n" + bytes(100), "an image was given"),
    "audio-only": (lambda clip: clip(name="a.mp4", audio=True, video=False), "no video stream|can't be read"),
    "song-with-a-cover": (lambda clip: clip(name="a.mp4", audio=True, video=False, cover=True), "only audio, images"),
    "tail-missing": (lambda clip: clip(**MP4)[:-2000], "can't be read"),
    "half": (lambda clip: clip(**MP4)[: len(clip(**MP4)) // 2], "can't be read"),
    "header-only": (lambda clip: clip(**MP4)[:40], "can't be read"),
    "matroska-half": (lambda clip: clip(name="a.mkv")[: len(clip(name="a.mkv")) // 2], "cut short|no frames"),
    "webm-three-quarters": (lambda clip: clip(**KINDS["vp9"])[: len(clip(**KINDS["vp9"])) * 3 // 4], "cut short"),
    "garbage-in-an-mp4-box": (lambda clip: b"\0\0\0\x20ftypisom" + bytes(range(256)) * 8, "can't be read"),
}


@pytest.mark.parametrize("kind", sorted(BROKEN))
def test_error_of_an_unreadable_file_states_the_reason(clip, kind):
    make, message = BROKEN[kind]
    with pytest.raises(InvalidMedia, match=message):
        probe(make(clip))


@pytest.mark.parametrize("kind", ["empty", "zeros", "text", "playlist", "audio-only", "half", "garbage-in-an-mp4-box"])
def test_decord_refuses_unreadable_files(clip, kind):
    with pytest.raises(InvalidMedia):
        decoder("decord").probe(BROKEN[kind][0](clip))


def test_truncated_file_is_an_error_at_any_length(clip):
    for name in ("a.mp4", "a.mkv", "a.avi", "a.webm"):
        codec = {"a.avi": "mpeg4", "a.webm": "libvpx-vp9"}.get(name, "libx264")
        data = clip(name=name, codec=codec)
        whole = decode_frames(data, range(30))
        for tenth in range(10):
            cut = data[: len(data) * tenth // 10]
            with pytest.raises(InvalidMedia):
                decode_frames(cut, range(probe(cut).num_frames))
        assert np.array_equal(decode_frames(data, range(30)), whole)


def test_matroska_file_without_its_last_byte_is_cut_short_and_a_live_stream_is_not(clip):
    data = clip(name="a.mkv")
    with pytest.raises(InvalidMedia, match=rf"its header states {len(data)} bytes, {len(data) - 1} are there"):
        probe(data[:-1])
    start = data.index(b"\x18\x53\x80\x67") + 4
    live = data[:start] + b"\x01" + b"\xff" * 7 + data[start + 8 :]
    assert np.array_equal(decode_frames(live, range(30)), decode_frames(data, range(30)))


@pytest.mark.parametrize("name", BOTH)
def test_damaged_file_never_returns_fewer_frames(clip, name):
    data = bytearray(clip(**FAST_START))
    rng = np.random.default_rng(3)
    offsets = rng.integers(len(data) // 3, len(data) * 2 // 3, 600)
    for i in offsets:
        data[i] ^= 0xFF
    try:
        frames = decoder(name).decode(bytes(data), range(30))
    except InvalidMedia:
        return
    assert frames.shape == (30, 240, 416, 3)


def test_index_outside_the_clip_is_a_value_error(clip):
    with pytest.raises(ValueError, match="frame 30 of a clip of 30 frames"):
        decode_frames(clip(**MP4), [0, 30])
    with pytest.raises(KeyError, match="there are pyav, decord"):
        decoder("gstreamer")


@pytest.mark.parametrize("name", BOTH)
def test_threads_share_a_decoder(clip, name):
    data, shared, results = clip(**MP4), decoder(name), []
    expected = shared.decode(data, [0, 10, 29])

    def work():
        for _ in range(5):
            results.append(np.array_equal(shared.decode(data, [0, 10, 29]), expected))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [True] * 20


def test_decoding_prints_nothing(clip, capfd):
    probe(clip(**MP4))
    for make, _ in (BROKEN["half"], BROKEN["garbage-in-an-mp4-box"]):
        with pytest.raises(InvalidMedia):
            probe(make(clip))
    assert capfd.readouterr() == ("", "")
