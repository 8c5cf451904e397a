"""The packets of a video stream: how many frames they hold and when each is shown, mostly without decoding.

A packet is not always a frame. Encoders of VP8 and VP9 write packets that are never shown; the packets after the first
key frame of a stream that was cut without re-encoding may refer to frames that are gone; and some containers (AVI, raw
streams) store no presentation times. `PacketList.needs_decoding` tells when only a decoder knows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise, takewhile
from typing import Any

from identity_reward_client.errors import InvalidMedia

from .timeline import Timeline, timeline

# ffmpeg's names of containers whose packets carry decoding times only
_WITHOUT_PRESENTATION_TIMES = ("avi",)


@dataclass(frozen=True)
class FrameIndex:
    """The frames of a file in the order in which they are shown."""

    timeline: Timeline
    # presentation time of each frame in stream units, ascending; None: frames are counted as they are decoded
    pts: tuple[int, ...] | None
    # (presentation, decoding) time of the key frames, ascending
    keys: tuple[tuple[int, int], ...]
    # packets that a decoder is given, at least as many as there are frames
    num_packets: int
    # ffmpeg's name of the container's demultiplexer
    container: str


@dataclass(frozen=True)
class PacketList:
    """What the packets of one stream say."""

    # presentation time of each shown packet in stream units, in decoding order; None where it has none
    pts: tuple[int | None, ...]
    keys: tuple[tuple[int, int], ...]
    num_packets: int
    container: str
    # packets after the first key frame that are shown before it
    num_leading: int
    # seconds of a stream unit; 0 where unknown
    time_base: float
    last_duration_s: float
    average_rate: float | None
    guessed_rate: float | None
    needs_decoding: bool

    def index(self) -> FrameIndex:
        """From the packets alone; for a list that does not need decoding."""
        pts = [time for time in self.pts if time is not None]
        ordered = timeline([time * self.time_base for time in pts], self.last_duration_s, self.average_rate)
        return FrameIndex(ordered, tuple(sorted(pts)), self.keys, self.num_packets, self.container)

    def index_of_decoded(self, pts: Sequence[int | None]) -> FrameIndex:
        """From the presentation times of all decoded frames, in the order in which the decoder returned them.

        InvalidMedia where frames are missing that the cut of an open group of pictures does not explain.
        """
        expected = len(self.pts)
        if not expected - self.num_leading <= len(pts) <= expected or not pts:
            raise InvalidMedia(
                f"the file lists {expected} frames and {len(pts)} of them can be decoded: it is cut short or damaged; "
                "if it was cut without re-encoding, re-encode it"
            )
        times = [time for time in pts if time is not None]
        if self.time_base and len(times) == len(pts) and all(a < b for a, b in pairwise(times)):
            starts = [time * self.time_base for time in times]
            return self._counted(timeline(starts, self.last_duration_s, self.average_rate))
        return self.counted(len(pts))

    def counted(self, num_frames: int) -> FrameIndex:
        """Evenly spaced frames at the rate that the file states."""
        rate = self.guessed_rate or self.average_rate
        if not rate:
            raise InvalidMedia(f"the video states neither times nor a frame rate for its {num_frames} frames")
        starts = [i / rate for i in range(num_frames)]
        return self._counted(timeline(starts, 1 / rate, rate))

    def _counted(self, times: Timeline) -> FrameIndex:
        return FrameIndex(times, None, (), self.num_packets, self.container)


def read_packets(container: Any, stream: Any) -> PacketList:
    """Reads every packet of a PyAV stream. InvalidMedia for a file that is cut short or has no frames."""
    base = float(stream.time_base or 0)
    packets = [packet for packet in container.demux(stream) if packet.size]
    _check_whole(stream, packets, base)
    codec = stream.codec_context.codec.canonical_name
    # the container's edit list cuts frames off by discarding their packets
    shown = [packet for packet in packets if not packet.is_discard and _is_shown(packet, codec)]
    if not shown:
        raise InvalidMedia("the video stream has no frames")
    times = [packet.pts for packet in shown]
    leading = _num_leading(shown)
    has_times = bool(base) and None not in times and len(set(times)) == len(times)
    reordered = container.format.name in _WITHOUT_PRESENTATION_TIMES and stream.codec_context.has_b_frames
    last = max(shown, key=lambda packet: packet.pts or 0)
    keys = [(p.pts, p.pts if p.dts is None else p.dts) for p in shown if p.is_keyframe]
    return PacketList(
        pts=tuple(times),
        keys=tuple(sorted(keys)) if has_times else (),
        num_packets=len(packets),
        container=container.format.name,
        num_leading=leading,
        time_base=base,
        last_duration_s=(last.duration or 0) * base,
        average_rate=float(stream.average_rate or stream.guessed_rate or 0) or None,
        guessed_rate=float(stream.guessed_rate or stream.average_rate or 0) or None,
        needs_decoding=bool(not has_times or leading or reordered),
    )


def _is_shown(packet: Any, codec: str) -> bool:
    """False for a packet that only updates reference frames, such as an alternate reference frame.

    VP8: RFC 6386, 9.1. VP9: bitstream specification, 6.2; a superframe (annex B) always ends with a shown frame.
    AV1 packets are temporal units, which show one frame each.
    """
    if codec not in ("vp8", "vp9"):
        return True
    data = memoryview(packet)
    first = data[0]
    if codec == "vp8":
        return bool(first & 0x10)
    if data[-1] & 0xE0 == 0xC0:
        return True
    # frame marker (2 bits), profile (2 bits, the low one first, and a reserved one in profile 3)
    shift = 3 if first >> 4 & 3 != 3 else 2
    show_existing_frame, show_frame = first >> shift & 1, first >> (shift - 2) & 1
    return bool(show_existing_frame or show_frame)


def _num_leading(packets: Sequence[Any]) -> int:
    """Packets that follow the first key frame and are shown before it (open group of pictures)."""
    start = next((i for i, packet in enumerate(packets) if packet.is_keyframe), None)
    if start is None or packets[start].pts is None:
        return 0
    key = packets[start].pts
    return sum(1 for _ in takewhile(lambda packet: packet.pts is None or packet.pts < key, packets[start + 1 :]))


def _check_whole(stream: Any, packets: Sequence[Any], base: float) -> None:
    """InvalidMedia for a file that ends early.

    Containers that can be read from the front (MKV, fast-start MP4) show a cut only as packets that never come.
    """
    if any(packet.is_corrupt for packet in packets):
        raise InvalidMedia("the video is cut short: its last packet isn't whole")
    stated = stream.duration * base if stream.duration else None
    if stated is None and "DURATION" in stream.metadata:
        hours, minutes, seconds = stream.metadata["DURATION"].split(":")
        stated = int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    times = [packet.pts for packet in packets if packet.pts is not None]
    if stated is None or not times or len(times) < len(packets) // 2:
        return
    present = (max(times) - min(times)) * base
    frame = max([present / max(len(times) - 1, 1), *(packet.duration * base for packet in packets if packet.duration)])
    if present + 3 * frame < stated:
        raise InvalidMedia(
            f"the video is cut short: its header states {stated:.3g} s, frames for {present:.3g} s are there"
        )
