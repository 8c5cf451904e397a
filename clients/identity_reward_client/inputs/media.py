"""Images and videos in every form that a caller has them in, as wire messages.

Of a clip in memory only the frames that the model samples are sent, with their indices; a file is sent whole.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np

from ..base import ImageLike, ReferencesLike, VideoLike
from ..errors import InputRefused, InvalidMedia, InvalidRequest, MissingFps
from ..fields.fps import Fps, check_fps, resolve_fps
from ..frame_sampling import FrameSampling
from ..messages import Image, ReferenceSet, Video
from .pil import from_pil, is_pil_image
from .tensors import Frames, ImageArray, from_pixels, is_array, to_pixels, to_uint8_frames, to_uint8_image

_SET_ID = re.compile(r"sha256:[0-9a-f]{64}")
_BYTES = bytes | bytearray | memoryview


def to_references(references: ReferencesLike | ReferenceSet) -> list[Image] | str:
    """Images as messages, with files read; the id of a stored set as it is.

    InvalidRequest for no images, for a single one that is not in a list, and for a file that cannot be read.
    """
    if isinstance(references, str) and _SET_ID.fullmatch(references):
        return references
    if isinstance(references, ReferenceSet):
        return list(references.images)
    is_image = isinstance(references, str | PathLike | Image | ImageArray | _BYTES) or is_pil_image(references)
    if is_image or is_array(references):
        raise InvalidRequest("references must be a list of images, one per person, or the id of a stored set: [image]")
    images = [to_image(image) for image in references]
    if not images:
        raise InvalidRequest("references are empty; give one image per person")
    return images


def to_image(image: ImageLike) -> Image:
    """The image as a message. InvalidRequest or InvalidMedia for one that cannot be sent."""
    if isinstance(image, Image):
        return image
    if isinstance(image, str | PathLike):
        return Image(data=read_file(image, "image"))
    if isinstance(image, _BYTES):
        _check_not_empty(image, "the image")
        return Image(data=image)
    if isinstance(image, ImageArray):
        pixels = to_uint8_image(image.array, layout=image.layout, value_range=image.value_range)
        return Image(pixels=to_pixels(pixels))
    if is_array(image):
        return Image(pixels=to_pixels(to_uint8_image(image)))
    if is_pil_image(image):
        return from_pil(image)
    raise InvalidRequest(f"an image is a path, bytes, an array, a PIL image or an Image; got {_type(image)}")


def needs_sampling(video: VideoLike) -> bool:
    """Whether `to_video` needs the model's frame sampling, as it does for a clip in memory."""
    return isinstance(video, Frames) or is_array(video) or _is_list(video)


def to_video(video: VideoLike, fps: Fps | None = None, sampling: FrameSampling | None = None) -> Video:
    """The video as a message.

    Args:
        video: a path, bytes, an array, a list of images, `Frames` or a `Video` message.
        fps: frames per second, for a video that does not have them with it.
        sampling: the model's frame sampling, see `needs_sampling`.

    Raises:
        CallerError: the video cannot be sent; MissingFps if a clip in memory has no frame rate.
    """
    fps = check_fps(fps)
    if isinstance(video, Video):
        return video if video.fps is not None or fps is None else video.model_copy(update={"fps": fps})
    if isinstance(video, str | PathLike):
        return Video(data=read_file(video, "video"), fps=fps)
    if isinstance(video, _BYTES):
        _check_not_empty(video, "the video")
        return Video(data=video, fps=fps)
    if not needs_sampling(video):
        raise InvalidRequest(f"a video is a path, bytes, an array, a list of images or a Video; got {_type(video)}")
    if sampling is None:
        raise InvalidRequest("a clip in memory can't be sent without the model's frame sampling")
    frames = video if isinstance(video, Frames) else Frames(video)
    fps = fps if frames.fps is None else check_fps(frames.fps)
    if fps is None:
        raise MissingFps("frames need fps, the clip's frames per second (fps=16, for example); it is never guessed")
    rate = resolve_fps(fps, sampling)
    if _is_list(frames.array):
        return _from_images(frames, fps, sampling.indices(len(frames.array), rate) if frames.array else ())
    if not is_array(frames.array):
        raise InvalidRequest(f"Frames take an array or a list of images, got {_type(frames.array)}")
    count = int(frames.array.shape[0]) if len(frames.array.shape) else 0
    indices = sampling.indices(count, rate) if count else ()
    sampled = to_uint8_frames(
        frames.array, layout=frames.layout, value_range=frames.value_range, indices=indices or None
    )
    return Video(frames=to_pixels(sampled), fps=fps, num_source_frames=count, frame_indices=list(indices))


def read_file(path: str | PathLike[str], label: str) -> bytes:
    """The bytes of a file; InvalidRequest, InputRefused or InvalidMedia with the path if they cannot be read."""
    text = str(fspath(path))
    if re.match(r"[a-zA-Z][a-zA-Z0-9+.-]+:/", text):  # Path makes one slash of two
        raise InputRefused(f"{text} is a URL; download the {label} first and give its path")
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError:
        raise InvalidRequest(f"no {label} at {text}") from None
    except IsADirectoryError:
        raise InvalidRequest(f"{text} is a folder, not a {label} file") from None
    except (OSError, ValueError) as error:
        raise InvalidRequest(
            f"cannot read the {label} at {text}: {getattr(error, 'strerror', None) or error}"
        ) from None
    _check_not_empty(data, f"the {label} at {text}")
    return data


def _from_images(frames: Frames, fps: Fps, indices: Sequence[int]) -> Video:
    source: Sequence[Any] = frames.array
    if not source:
        raise InvalidRequest("a list of images for a video is empty")
    if frames.layout is not None or frames.value_range is not None:
        layout: Any = frames.layout and frames.layout.removeprefix("T")
        source = [ImageArray(image, layout, frames.value_range) if is_array(image) else image for image in source]
    sampled = {i: to_image(source[i]) for i in dict.fromkeys(indices)}
    images = [sampled[i] for i in indices]
    content: dict[str, Any] = {"images": images}
    arrays = [from_pixels(image.pixels) for image in images if image.pixels is not None]
    if len(arrays) == len(images) and len({array.shape for array in arrays}) == 1:
        content = {"frames": to_pixels(np.stack(arrays))}
    return Video(**content, fps=fps, num_source_frames=len(source), frame_indices=list(indices))


def _is_list(video: Any) -> TypeGuard[list[Any] | tuple[Any, ...]]:
    return isinstance(video, list | tuple)


def _type(value: Any) -> str:
    return type(value).__name__


def _check_not_empty(data: bytes | bytearray | memoryview, label: str) -> None:
    if len(data) == 0:
        raise InvalidMedia(f"{label} is empty")
