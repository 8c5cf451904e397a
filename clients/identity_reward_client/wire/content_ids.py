"""Content ids of reference sets and videos: equal content has equal ids, for every sender and transport.

An id is "sha256:" and the hex digest over kind, shape and bytes as sent; for a video also over its frame rate and frame
indices. A URL or path has no content of its own: it is resolved before it gets an id.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import TYPE_CHECKING

from ..messages import Image, Message, ReferenceSet, RequestBase, Video

if TYPE_CHECKING:  # a private name of the standard library
    from hashlib import _Hash as Hash


def reference_set_id(images: Sequence[Image]) -> str:
    """The id that `PUT /v1/reference-sets` returns for these images in this order. ValueError for a URL or path."""
    return _id(sha256(b"".join(_image_digest(image) for image in images)))


def references_of(message: Message) -> str | None:
    """The id of the message's reference set; None if it has none, or if an image is a URL or path."""
    references = message.references if isinstance(message, RequestBase) else None
    images = message.images if isinstance(message, ReferenceSet) else references
    try:
        return images if images is None or isinstance(images, str) else reference_set_id(images)
    except ValueError:
        return None


def video_id(video: Video) -> str:
    """The `video_id` of responses. ValueError for a URL or path."""
    if video.id is not None:
        return video.id
    digest = sha256()
    if video.frames is not None:
        _add(digest, b"frames" + repr(video.frames.shape).encode(), video.frames.data)
    elif video.images is not None:
        for image in video.images:
            digest.update(_image_digest(image))
    else:
        _add(digest, b"video", video.data)
    digest.update(repr((video.fps, video.num_source_frames, video.frame_indices)).encode())
    return _id(digest)


def _image_digest(image: Image) -> bytes:
    digest = sha256()
    if image.pixels is not None:
        _add(digest, b"pixels" + repr(image.pixels.shape).encode(), image.pixels.data)
    else:
        _add(digest, b"file", image.data)
    return digest.digest()


def _add(digest: Hash, kind: bytes, data: bytes | memoryview | None) -> None:
    if data is None:
        raise ValueError("a URL or path has no content of its own")
    view = memoryview(data).cast("B")
    digest.update(kind + view.nbytes.to_bytes(8, "big"))
    digest.update(view)


def _id(digest: Hash) -> str:
    return "sha256:" + digest.hexdigest()
