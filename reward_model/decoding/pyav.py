"""Video decoding by PyAV (libavformat, libavcodec). A container is opened for each call and never shared by threads."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import av
import numpy as np
from av.stream import Disposition

from identity_reward_client.errors import InvalidMedia

from .container import DEMUXERS, check_container
from .timeline import MAX_PROBED_PIXELS, Timeline, VideoProbe, timeline

av.logging.set_level(av.logging.PANIC)  # ffmpeg writes a line to stderr for every oddity of a file

# nothing named inside a file is ever opened
_OPTIONS = {"format_whitelist": DEMUXERS, "protocol_whitelist": "none"}


@dataclass(frozen=True)
class _Scan:
    timeline: Timeline
    # presentation time of each frame in stream units, ascending; None where the container has no times
    pts: tuple[int, ...] | None
    # (presentation, decoding) time of the key frames, ascending
    keys: tuple[tuple[int, int], ...]


class PyAvDecoder:
    """The default decoder: every codec of its ffmpeg, strict errors; rotation is applied here."""

    name = "pyav"

    def __init__(self, threads: int = 1):
        self.threads = threads

    def probe(self, data: bytes, max_pixels: int = MAX_PROBED_PIXELS) -> VideoProbe:
        with self._opened(data) as (container, stream):
            codec, name = stream.codec_context, container.format.name
            width, height, codec_name = codec.width, codec.height, codec.codec.canonical_name
            if not width or not height:
                raise InvalidMedia(f"the {codec_name} stream states no picture size")
            times = _scan(container, stream).timeline
        rotation = 0
        if width * height <= max_pixels:
            with self._opened(data) as (container, stream):
                first = next(container.decode(stream), None)
                if first is None:
                    raise InvalidMedia("no frame of the video stream can be decoded")
                rotation = first.rotation % 360
        if rotation % 180:
            width, height = height, width
        return VideoProbe(name, codec_name, width, height, len(times.starts_s), times.fps, times.duration_s, rotation)

    def timeline(self, data: bytes) -> Timeline:
        """When the frames are shown, from the packets alone: nothing is decoded."""
        with self._opened(data) as (container, stream):
            return _scan(container, stream).timeline

    def decode(self, data: bytes, indices: Sequence[int]) -> np.ndarray:
        with self._opened(data) as (container, stream):
            scan = _scan(container, stream)
        wanted = scan.timeline.source_frames(indices)
        pictures = self._pictures(data, scan, sorted(set(wanted)), seek=True)
        if len(pictures) < len(set(wanted)):  # perhaps a key frame from which nothing can be decoded
            pictures = self._pictures(data, scan, sorted(set(wanted)), seek=False)
        missing = sorted(set(wanted) - set(pictures))
        if missing:
            raise InvalidMedia(
                f"the file lists {len(scan.timeline.starts_s)} frames but frame {missing[0]} can't be decoded: "
                "it is cut short or damaged",
                details={"missing_frames": missing[:8]},
            )
        sizes = {picture.shape[:2] for picture in pictures.values()}
        if len(sizes) > 1:
            raise InvalidMedia(f"the picture size changes within the clip, {sorted(sizes)}; it has to stay the same")
        return np.stack([pictures[number] for number in wanted])

    def _pictures(self, data: bytes, scan: _Scan, wanted: list[int], seek: bool) -> dict[int, np.ndarray]:
        """{frame number: [H, W, 3]}; a frame that can't be read is left out."""
        pictures: dict[int, np.ndarray] = {}
        with self._opened(data) as (container, stream):
            frames = _frames(container, stream)
            if scan.pts is None:
                for number, frame in enumerate(frames):
                    if number in wanted:
                        pictures[number] = _rgb(frame)
                    if number >= wanted[-1]:
                        break
                return pictures
            at = scan.pts[0]
            for number in wanted:
                target = scan.pts[number]
                key = next((key for key in reversed(scan.keys) if key[0] <= target), None)
                if seek and key is not None and key[0] > at:
                    container.seek(key[1], stream=stream)
                    frames = _frames(container, stream)
                found = next((frame for frame in frames if frame.pts is not None and frame.pts >= target), None)
                if found is None or found.pts != target or found.is_corrupt:
                    break
                at, pictures[number] = target, _rgb(found)
        return pictures

    @contextmanager
    def _opened(self, data: bytes):
        check_container(data)
        try:
            with av.open(io.BytesIO(data), options=_OPTIONS, metadata_errors="replace") as container:
                # the cover picture of a sound file is a video stream too
                films = (s for s in container.streams.video if not s.disposition & Disposition.attached_pic)
                stream = next(films, None)
                if stream is None:
                    kinds = ", ".join(sorted({"audio" if s.type == "audio" else "pictures" for s in container.streams}))
                    raise InvalidMedia(f"the file has no video stream, only {kinds or 'nothing'}")
                if stream.codec_context is None:
                    raise InvalidMedia("the video's codec isn't known to this decoder")
                stream.codec_context.thread_count = self.threads
                yield container, stream
        except (av.error.FFmpegError, EOFError) as error:
            raise InvalidMedia(f"the video can't be read: {getattr(error, 'strerror', None) or error}") from None


def _scan(container, stream) -> _Scan:
    """Counts and times from the packets: headers may lack the count or lie."""
    packets = [packet for packet in container.demux(stream) if packet.size]
    base = float(stream.time_base or 0)
    rate = float(stream.average_rate or stream.guessed_rate or 0) or None
    _check_whole(container, stream, packets, base)
    packets = [packet for packet in packets if not packet.is_discard]  # cut off by the container's edit list
    if not packets:
        raise InvalidMedia("the video stream has no frames")
    times = [packet.pts for packet in packets]
    if base and None not in times and len(set(times)) == len(times):
        last = max(packets, key=lambda packet: packet.pts)
        keys = sorted((p.pts, p.pts if p.dts is None else p.dts) for p in packets if p.is_keyframe)
        ordered = timeline([pts * base for pts in times], (last.duration or 0) * base, rate)
        return _Scan(ordered, tuple(sorted(times)), tuple(keys))
    rate = float(stream.guessed_rate or stream.average_rate or 0)
    if not rate:
        raise InvalidMedia(f"the video states neither times nor a frame rate for its {len(packets)} frames")
    return _Scan(timeline([i / rate for i in range(len(packets))], 1 / rate, rate), None, ())


def _check_whole(container, stream, packets, base: float) -> None:
    """Containers that can be read from the front (MKV, fast-start MP4) show a cut only as frames that never come."""
    if any(packet.is_corrupt for packet in packets):
        raise InvalidMedia("the video is cut short: its last packet isn't whole")
    stated = stream.duration * base if stream.duration else None
    if stated is None and "DURATION" in stream.metadata:
        hours, minutes, seconds = stream.metadata["DURATION"].split(":")
        stated = int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    times = [packet.pts for packet in packets if packet.pts is not None]
    if stated is None or not times or len(times) < len(packets):
        return
    found = (max(times) - min(times)) * base
    frame = max([found / max(len(times) - 1, 1), *(packet.duration * base for packet in packets if packet.duration)])
    if found + 3 * frame < stated:
        raise InvalidMedia(
            f"the video is cut short: its header states {stated:.3g} s, frames for {found:.3g} s are there"
        )


def _frames(container, stream) -> Iterator[av.VideoFrame]:
    """Decoded frames up to the first damage, which the caller sees as frames that are missing."""
    try:
        yield from container.decode(stream)
    except (av.error.FFmpegError, EOFError):
        return


def _rgb(frame: av.VideoFrame) -> np.ndarray:
    picture = frame.to_ndarray(format="rgb24")
    return np.rot90(picture, frame.rotation // 90 % 4) if frame.rotation % 360 else picture
