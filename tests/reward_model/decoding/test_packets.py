"""Files whose packets differ from their frames: hidden packets, cut groups of pictures, containers without times."""

import numpy as np
import pytest

from identity_reward_client.errors import InvalidMedia
from reward_model.decoding import packets
from reward_model.decoding.decoders import DECODERS, decode_frames, decoder
from tests.support.video_files import OPEN_GOP_X265, from_second_key_frame, remuxed, with_hidden_packet

BOTH = sorted(DECODERS)
BFRAMES = {"g": "12", "bf": "3"}
OPEN_GOPS = {
    "libx264": {"x264-params": "open-gop=1:keyint=10:min-keyint=10:scenecut=0:bframes=3:b-adapt=0"},
    "libx265": OPEN_GOP_X265,
}


@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_avi_with_b_frames_is_read_in_the_order_of_display(clip, name, codec):
    data, plain = (clip(name=file, codec=codec, options=BFRAMES, frames=40) for file in ("a.avi", "a.mkv"))
    properties = decoder(name).probe(data)
    assert (properties.num_frames, properties.fps, properties.duration_s) == (40, 10.0, 4.0)
    assert np.array_equal(decoder(name).decode(data, range(40)), decode_frames(plain, range(40)))
    assert np.array_equal(decoder(name).decode(data, [17, 3, 39]), decode_frames(plain, [17, 3, 39]))


@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize("form", ["h264", "hevc", "ts"])
def test_raw_and_transport_streams_have_the_frames_of_other_containers(clip, form, name):
    codec = {"h264": "libx264", "hevc": "libx265", "ts": "libx264"}[form]
    options = {"libx264": BFRAMES, "libx265": {"x265-params": "log-level=none:bframes=3"}}[codec]
    plain = clip(name="a.mkv", codec=codec, options=options)
    data = clip(name=f"a.{form}", codec=codec, options=options)
    assert decoder(name).probe(data).num_frames == 30
    assert np.array_equal(decoder(name).decode(data, range(30)), decode_frames(plain, range(30)))


@pytest.mark.parametrize("name", BOTH)
def test_hidden_vp8_packets_are_not_frames(clip, name):
    plain = clip(name="a.webm", codec="libvpx", frames=30)
    data = remuxed(plain, "webm", with_hidden_packet)
    properties = decoder(name).probe(data)
    assert (properties.num_frames, properties.fps) == (30, 10.0)
    frames = decoder(name).decode(data, range(30))
    assert np.array_equal(frames[:10], decode_frames(plain, range(10)))
    assert np.array_equal(frames, decode_frames(data, range(30)))


@pytest.mark.parametrize(
    ("codec", "content", "shown"),
    [
        ("vp8", (0x10, 0), True),
        ("vp8", (0x01, 0), False),
        ("vp9", (0b10_0_0_0_0_1_0, 0), True),
        ("vp9", (0b10_0_0_0_1_0_0, 0), False),
        ("vp9", (0b10_0_0_1_000, 0), True),
        ("vp9", (0b10_0_0_0_1_0_0, 0xC1), True),
        ("vp9", (0b10_1_1_0_0_1_0, 0), False),
        ("vp9", (0b10_1_1_0_0_0_1, 0), True),
        ("h264", (0, 0), True),
    ],
)
def test_shown_flag_of_vp8_and_vp9_packets_is_parsed(codec, content, shown):
    assert packets._is_shown(bytes(content), codec) == shown


@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize("form", ["matroska", "mp4"])
@pytest.mark.parametrize("codec", sorted(OPEN_GOPS))
def test_file_cut_at_an_open_group_of_pictures_omits_the_leading_frames(clip, name, form, codec):
    whole = clip(name="a.mkv", codec=codec, options=OPEN_GOPS[codec], frames=40)
    data = remuxed(whole, form, from_second_key_frame)
    count = decoder(name).probe(data).num_frames
    assert 25 <= count <= 30, "leading frames are left out, all others are there"
    frames = decoder(name).decode(data, range(count))
    assert np.array_equal(frames, decode_frames(whole, range(40 - count, 40)))


def test_truncated_file_cut_at_an_open_group_of_pictures_is_refused(clip):
    whole = clip(name="a.mkv", codec="libx265", options=OPEN_GOPS["libx265"], frames=40)
    data = remuxed(whole, "matroska", from_second_key_frame)
    for percent in (50, 70, 90):
        with pytest.raises(InvalidMedia, match=r"cut short|damaged"):
            decode_frames(data[: len(data) * percent // 100], [0])


def test_missing_frames_beyond_the_leading_ones_are_an_error():
    entries = packets.PacketList((None,) * 10, (), 10, "avi", 2, 0.1, 0.1, 10.0, 10.0, True)
    assert len(entries.index_of_decoded([None] * 8).timeline.starts_s) == 8
    for count in (0, 7, 11):
        with pytest.raises(InvalidMedia, match="if it was cut without re-encoding, re-encode it"):
            entries.index_of_decoded([None] * count)
