"""Video decoding by PyAV (libavformat, libavcodec). A container is opened for each call and never shared by threads."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from typing import Any

import av
import numpy as np
from av.sidedata.sidedata import Type
from av.stream import Disposition

from identity_reward_client.errors import InvalidMedia

from .container import DEMUXERS, check_container
from .display import Orientation, display_size, to_square_pixels
from .packets import FrameIndex, PacketList, read_packets
from .timeline import MAX_PROBED_PIXELS, VideoProbe

av.logging.set_level(av.logging.PANIC)  # ffmpeg writes a line to stderr for every oddity of a file

# nothing named inside a file is ever opened
_OPTIONS = {"format_whitelist": DEMUXERS, "protocol_whitelist": "none"}


class PyAvDecoder:
    """The default decoder: every codec of its ffmpeg, strict errors; display geometry is applied here."""

    name = "pyav"

    def __init__(self, threads: int = 1) -> None:
        self.threads = threads

    def probe(self, data: bytes, max_pixels: int = MAX_PROBED_PIXELS) -> VideoProbe:
        """As `VideoDecoder.probe`."""
        with self._opened(data) as (container, stream):
            codec, container_name = stream.codec_context, container.format.name
            width, height, codec_name = codec.width, codec.height, codec.codec.canonical_name
            if not width or not height:
                raise InvalidMedia(f"the {codec_name} stream states no frame size")
            shown_width, shown_height = display_size(width, height, stream.sample_aspect_ratio)
            packets = read_packets(container, stream)
        may_decode = width * height <= max_pixels
        times = self._index(data, packets, may_decode).timeline
        orientation = self.geometry(data)[0] if may_decode else Orientation()
        if orientation.swaps_sides:
            shown_width, shown_height = shown_height, shown_width
        return VideoProbe(
            container=container_name,
            codec=codec_name,
            width=shown_width,
            height=shown_height,
            num_frames=len(times.starts_s),
            fps=times.fps,
            duration_s=times.duration_s,
            rotation=orientation.rotation,
            mirrored=orientation.mirrored,
        )

    def frame_index(self, data: bytes) -> FrameIndex:
        """The frames of a file, from its packets where they tell, else by decoding all of them."""
        with self._opened(data) as (container, stream):
            packets = read_packets(container, stream)
        return self._index(data, packets, True)

    def _index(self, data: bytes, packets: PacketList, may_decode: bool) -> FrameIndex:
        """Without `may_decode` packets are counted instead of decoded, which may be a few frames too many."""
        if not packets.needs_decoding:
            return packets.index()
        if not may_decode:
            return packets.counted(len(packets.pts))
        with self._opened(data) as (container, stream):
            return packets.index_of_decoded([frame.pts for frame in _frames(container, stream)])

    def geometry(self, data: bytes) -> tuple[Orientation, Fraction | None]:
        """(how frames are turned and mirrored, from the first one; width of a pixel over its height, None: unknown)."""
        with self._opened(data) as (container, stream):
            first = next(container.decode(stream), None)
            if first is None:
                raise InvalidMedia("no frame of the video stream can be decoded")
            return Orientation.from_matrix(display_matrix(first)), stream.sample_aspect_ratio

    def decode(self, data: bytes, indices: Sequence[int]) -> np.ndarray:
        """As `VideoDecoder.decode`: seeks to key frames, and reads from the start where a seek finds too little."""
        frame_index = self.frame_index(data)
        numbers = frame_index.timeline.source_frames(indices)
        distinct = sorted(set(numbers))
        frames = self._decode_frames(data, frame_index, distinct, seek=True)
        if len(frames) < len(distinct):  # perhaps a key frame from which nothing can be decoded
            frames = self._decode_frames(data, frame_index, distinct, seek=False)
        missing = sorted(set(distinct) - set(frames))
        if missing:
            raise InvalidMedia(
                f"the file lists {len(frame_index.timeline.starts_s)} frames but frame {missing[0]} can't be decoded: "
                "it is cut short or damaged",
                details={"missing_frames": missing[:8]},
            )
        sizes = {frame.shape[:2] for frame in frames.values()}
        if len(sizes) > 1:
            raise InvalidMedia(f"the frame size changes within the clip, {sorted(sizes)}; it has to stay the same")
        return np.stack([frames[number] for number in numbers])

    def _decode_frames(
        self, data: bytes, frame_index: FrameIndex, numbers: Sequence[int], seek: bool
    ) -> dict[int, np.ndarray]:
        """{frame number: [H, W, 3]} for ascending `numbers`; a frame that can't be decoded is left out."""
        decoded: dict[int, np.ndarray] = {}
        with self._opened(data) as (container, stream):
            aspect = stream.sample_aspect_ratio
            frames = _frames(container, stream)
            if frame_index.pts is None:
                for number, frame in enumerate(frames):
                    if number in numbers and not frame.is_corrupt:
                        decoded[number] = _shown(frame, aspect)
                    if number >= numbers[-1]:
                        break
                return decoded
            position = frame_index.pts[0]
            for number in numbers:
                target = frame_index.pts[number]
                key = next((key for key in reversed(frame_index.keys) if key[0] <= target), None)
                if seek and key is not None and key[0] > position:
                    container.seek(key[1], stream=stream)
                    frames = _frames(container, stream)
                match = next((frame for frame in frames if frame.pts is not None and frame.pts >= target), None)
                if match is None or match.pts != target or match.is_corrupt:
                    break
                position, decoded[number] = target, _shown(match, aspect)
        return decoded

    @contextmanager
    def _opened(self, data: bytes) -> Iterator[tuple[Any, Any]]:
        """(container, its first video stream); whatever ffmpeg raises inside the block becomes InvalidMedia."""
        check_container(data)
        try:
            with av.open(io.BytesIO(data), options=_OPTIONS, metadata_errors="replace") as container:
                # the cover image of a sound file is a video stream too
                streams = (s for s in container.streams.video if not s.disposition & Disposition.attached_pic)
                stream = next(streams, None)
                if stream is None:
                    kinds = ", ".join(sorted({"audio" if s.type == "audio" else "images" for s in container.streams}))
                    raise InvalidMedia(f"the file has no video stream, only {kinds or 'nothing'}")
                if stream.codec_context is None:
                    raise InvalidMedia("the video's codec isn't known to this decoder")
                stream.codec_context.thread_count = self.threads
                yield container, stream
        except (av.error.FFmpegError, EOFError) as error:
            raise InvalidMedia(f"the video can't be read: {getattr(error, 'strerror', None) or error}") from None


def display_matrix(frame: Any) -> bytes | None:
    """The 36 bytes of a PyAV frame's display matrix."""
    return next((bytes(data) for data in frame.side_data if data.type == Type.DISPLAYMATRIX), None)


def _frames(container: Any, stream: Any) -> Iterator[Any]:
    """Decoded frames up to the first damage, which the caller sees as frames that are missing."""
    try:
        yield from container.decode(stream)
    except (av.error.FFmpegError, EOFError):
        return


def _shown(frame: Any, pixel_aspect: Fraction | None) -> np.ndarray:
    """uint8 RGB [H, W, 3] of a PyAV frame as a player shows it."""
    pixels = to_square_pixels(frame.to_ndarray(format="rgb24"), pixel_aspect)
    return Orientation.from_matrix(display_matrix(frame)).apply(pixels)
