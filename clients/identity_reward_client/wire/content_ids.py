"""Ids of content: equal for equal pictures and clips, whoever sends them and by whatever transport.

"sha256:" and the hex digest over kind, shape and bytes as sent; of a clip also over its frame rate and frame choice.
Links have no content of their own: they are resolved before they get an id.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

from ..messages import Image, Message, ReferenceSet, RequestBase, Video


def reference_set_id(images: Sequence[Image]) -> str:
    """What `PUT /v1/reference-sets` answers for these pictures in this order."""
    return _name(sha256(b"".join(_picture(image) for image in images)))


def references_of(message: Message) -> str | None:
    """The id of the references that `message` names, holds or stores; None where there are none, or one is a link."""
    given = message.references if isinstance(message, RequestBase) else None
    images = message.images if isinstance(message, ReferenceSet) else given
    try:
        return images if images is None or isinstance(images, str) else reference_set_id(images)
    except ValueError:
        return None


def video_id(video: Video) -> str:
    """What answers call `video_id`; the video's own `id` where it was sent by one."""
    if video.id is not None:
        return video.id
    digest = sha256()
    if video.frames is not None:
        _add(digest, b"frames" + repr(video.frames.shape).encode(), video.frames.data)
    elif video.images is not None:
        for image in video.images:
            digest.update(_picture(image))
    else:
        _add(digest, b"video", video.data)
    digest.update(repr((video.fps, video.num_source_frames, video.frame_indices)).encode())
    return _name(digest)


def _picture(image: Image) -> bytes:
    digest = sha256()
    if image.pixels is not None:
        _add(digest, b"pixels" + repr(image.pixels.shape).encode(), image.pixels.data)
    else:
        _add(digest, b"file", image.data)
    return digest.digest()


def _add(digest, kind: bytes, data) -> None:
    if data is None:
        raise ValueError("a link has no content to name")
    view = memoryview(data).cast("B")
    digest.update(kind + view.nbytes.to_bytes(8, "big"))
    digest.update(view)


def _name(digest) -> str:
    return "sha256:" + digest.hexdigest()
