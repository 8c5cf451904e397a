"""Valid video files that decoders often misread: mirrored, anamorphic, with hidden packets, cut without re-encoding."""

import io
import struct
from collections.abc import Callable
from fractions import Fraction

import av
import numpy as np

# (bytes, presentation time, decoding time, is a key frame)
PacketEntry = tuple[bytes, int, int, bool]
OPEN_GOP_X265 = {"x265-params": "log-level=none:open-gop=1:keyint=10:min-keyint=10:scenecut=0:bframes=3:b-adapt=0"}
# x264's look-ahead, on which frame types and sizes depend, varies from run to run on a busy machine
SAME_BYTES_X264 = {"threads": "1", "x264-params": "rc-lookahead=0:sync-lookahead=0:mbtree=0:b-adapt=0"}
_ONE = 1 << 16


def encode_frames(
    frames_THWC: np.ndarray,
    container: str,
    codec: str,
    fps: int = 10,
    pixel_aspect: Fraction | None = None,
    **options: str,
) -> bytes:
    """A video file of uint8 RGB frames; `options` are the encoder's. The same frames give the same pixels."""
    if codec == "libx264":
        options = SAME_BYTES_X264 | options
    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        stream = output.add_stream(codec, rate=fps, options=options)
        stream.height, stream.width = frames_THWC.shape[1:3]
        stream.pix_fmt = "yuv420p"
        if pixel_aspect:
            stream.codec_context.sample_aspect_ratio = pixel_aspect
        for frame in frames_THWC:
            output.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
        output.mux(stream.encode())
    return file.getvalue()


def with_display_matrix(mp4: bytes, a: int, b: int, c: int, d: int) -> bytes:
    """The same MP4 with another display matrix in its track header (version 0)."""
    start = mp4.index(b"tkhd") + 44
    matrix = struct.pack(">9i", a * _ONE, b * _ONE, 0, c * _ONE, d * _ONE, 0, 0, 0, 1 << 30)
    return mp4[:start] + matrix + mp4[start + 36 :]


def remuxed(data: bytes, container: str, change: Callable[[list[PacketEntry]], list[PacketEntry]]) -> bytes:
    """The same stream in another container; `change` maps its list of packets to another."""
    out = io.BytesIO()
    with av.open(io.BytesIO(data)) as source, av.open(out, "w", format=container) as target:
        stream = source.streams.video[0]
        copy = target.add_stream_from_template(stream)
        copy.codec_context.framerate = stream.average_rate
        entries = [(bytes(p), p.pts, p.dts, p.is_keyframe) for p in source.demux(stream) if p.size]
        for content, pts, dts, key in change(entries):
            packet = av.Packet(content)
            packet.pts, packet.dts, packet.time_base, packet.is_keyframe = pts, dts, stream.time_base, key
            packet.stream = copy
            target.mux(packet)
    return out.getvalue()


def from_second_key_frame(entries: list[PacketEntry]) -> list[PacketEntry]:
    """A cut by stream copy, as `ffmpeg -ss 1 -c copy` makes it."""
    start = [i for i, entry in enumerate(entries) if entry[3]][1]
    first = min(entry[2] for entry in entries[start:])
    return [(content, pts - first, dts - first, key) for content, pts, dts, key in entries[start:]]


def with_hidden_packet(entries: list[PacketEntry], index: int = 10) -> list[PacketEntry]:
    """A copy of a VP8 packet, marked as not shown, before it: an alternate reference frame for later ones."""
    content, pts, dts, _ = entries[index]
    hidden = bytes([content[0] & ~0x10]) + content[1:]
    return [*entries[:index], (hidden, pts - 1, dts - 1, False), *entries[index:]]
