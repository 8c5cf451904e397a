"""What people have (paths, bytes, arrays, lists of pictures, ready messages) -> what the wire carries.

Of clips in memory only the frames that the model looks at are sent, with their numbers; files travel whole.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import numpy as np

from ..base import ImageLike, ReferencesLike, VideoLike
from ..errors import InputRefused, InvalidMedia, InvalidRequest, MissingFps
from ..fps import Fps, check_fps, resolve_fps
from ..frame_sampling import FrameSampling
from ..messages import Image, ReferenceSet, Video
from .tensors import Frames, Picture, from_pixels, is_array, to_pixels, to_uint8_frames, to_uint8_picture

_SET_ID = re.compile(r"sha256:[0-9a-f]{64}")
_BYTES = bytes | bytearray | memoryview


def to_references(references: ReferencesLike | ReferenceSet) -> list[Image] | str:
    """A stored set's id as it is; pictures as messages, read from disk where they are paths."""
    if isinstance(references, str) and _SET_ID.fullmatch(references):
        return references
    if isinstance(references, ReferenceSet):
        return list(references.images)
    if isinstance(references, str | PathLike | Image | Picture | _BYTES) or is_array(references):
        raise InvalidRequest("references must be a list of pictures, one a person, or a stored set's id: [picture]")
    images = [to_image(picture) for picture in references]
    if not images:
        raise InvalidRequest("references are empty; give one picture a person")
    return images


def to_image(picture: ImageLike) -> Image:
    if isinstance(picture, Image):
        return picture
    if isinstance(picture, str | PathLike):
        return Image(data=read_file(picture, "picture"))
    if isinstance(picture, _BYTES):
        return Image(data=_not_empty(picture, "the picture"))
    return Image(pixels=to_pixels(_picture_array(picture)))


def needs_sampling(video: VideoLike) -> bool:
    """Whether `to_video` must know the model's frame sampling: true for clips in memory."""
    return isinstance(video, Frames) or is_array(video) or _is_list(video)


def to_video(video: VideoLike, fps: Fps | None = None, sampling: FrameSampling | None = None) -> Video:
    """`fps` is for what has none of its own; MissingFps where frames have neither. Errors are CallerErrors."""
    fps = check_fps(fps)
    if isinstance(video, Video):
        return video if video.fps is not None or fps is None else video.model_copy(update={"fps": fps})
    if isinstance(video, str | PathLike):
        return Video(data=read_file(video, "video"), fps=fps)
    if isinstance(video, _BYTES):
        return Video(data=_not_empty(video, "the video"), fps=fps)
    if not needs_sampling(video):
        raise InvalidRequest(f"a video is a path, bytes, an array, a list of pictures or a Video; got {_type(video)}")
    if sampling is None:
        raise InvalidRequest("a clip in memory can't be sent without the model's frame sampling")
    frames = video if isinstance(video, Frames) else Frames(video)
    fps = fps if frames.fps is None else check_fps(frames.fps)
    if fps is None:
        raise MissingFps("frames need fps, the clip's frames a second (fps=16, say); it is never guessed")
    rate = resolve_fps(fps, sampling)
    if _is_list(frames.array):
        return _from_pictures(frames, fps, sampling.indices(len(frames.array), rate) if frames.array else ())
    if not is_array(frames.array):
        raise InvalidRequest(f"Frames take an array or a list of pictures, got {_type(frames.array)}")
    count = int(frames.array.shape[0]) if len(frames.array.shape) else 0
    indices = sampling.indices(count, rate) if count else ()
    chosen = to_uint8_frames(
        frames.array, layout=frames.layout, value_range=frames.value_range, indices=indices or None
    )
    return Video(frames=to_pixels(chosen), fps=fps, num_source_frames=count, frame_indices=list(indices))


def read_file(path: str | PathLike, what: str) -> bytes:
    """A file's bytes; what stands in the way is an error that names the path."""
    text = str(fspath(path))
    if re.match(r"[a-zA-Z][a-zA-Z0-9+.-]+:/", text):  # one slash is what Path leaves of two
        raise InputRefused(f"{text} is a URL; download the {what} first and give its path")
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError:
        raise InvalidRequest(f"no {what} at {text}") from None
    except IsADirectoryError:
        raise InvalidRequest(f"{text} is a folder, a {what} file is wanted") from None
    except (OSError, ValueError) as error:
        raise InvalidRequest(f"can't read the {what} at {text}: {getattr(error, 'strerror', None) or error}") from None
    return _not_empty(data, f"the {what} at {text}")


def _from_pictures(frames: Frames, fps: Fps, indices: Sequence[int]) -> Video:
    pictures: Sequence[Any] = frames.array
    if not pictures:
        raise InvalidRequest("a list of pictures for a video is empty")
    if frames.layout is not None or frames.value_range is not None:
        layout: Any = frames.layout and frames.layout.removeprefix("T")
        pictures = [Picture(one, layout, frames.value_range) if is_array(one) else one for one in pictures]
    read = {i: to_image(pictures[i]) for i in dict.fromkeys(indices)}
    images = [read[i] for i in indices]
    chosen: dict[str, Any] = {"images": images}
    arrays = [from_pixels(image.pixels) for image in images if image.pixels is not None]
    if len(arrays) == len(images) and len({array.shape for array in arrays}) == 1:
        chosen = {"frames": to_pixels(np.stack(arrays))}
    return Video(**chosen, fps=fps, num_source_frames=len(pictures), frame_indices=list(indices))


def _picture_array(picture: Any) -> np.ndarray:
    if isinstance(picture, Picture):
        return to_uint8_picture(picture.array, layout=picture.layout, value_range=picture.value_range)
    if is_array(picture):
        return to_uint8_picture(picture)
    if hasattr(picture, "convert") and hasattr(picture, "mode"):  # PIL
        return np.asarray(picture.convert("RGB"))
    raise InvalidRequest(f"a picture is a path, bytes, an array, a PIL image or an Image; got {_type(picture)}")


def _is_list(video: Any) -> bool:
    return isinstance(video, list | tuple)


def _type(value: Any) -> str:
    return type(value).__name__


def _not_empty(data, what: str):
    if len(data) == 0:
        raise InvalidMedia(f"{what} is empty")
    return data
