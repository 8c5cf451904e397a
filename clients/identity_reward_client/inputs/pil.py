"""PIL images as wire messages, with the pixels that the server decodes from the file that an image was opened from.

A plain image is sent as pixels. One with an EXIF orientation, transparency or 16 bits per channel is sent as a lossless
PNG file that keeps them, because their conversion to RGB depends on the model (`FrameSampling.reference_files`).
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np

from ..errors import InvalidMedia
from ..messages import Image
from .tensors import to_pixels

if TYPE_CHECKING:
    import PIL.Image

_ORIENTATION = 0x0112  # EXIF tag
_UPRIGHT = 1
# modes that a PNG file stores
_PNG_MODES = ("1", "L", "LA", "I", "I;16", "P", "RGB", "RGBA")


def is_pil_image(value: Any) -> TypeGuard[PIL.Image.Image]:
    """Whether `value` is a PIL image, without loading Pillow."""
    return hasattr(value, "convert") and hasattr(value, "mode") and hasattr(value, "getexif")


def from_pil(image: PIL.Image.Image) -> Image:
    """The image as a message. InvalidMedia for floating-point pixels and for a file that cannot be decoded."""
    if image.mode == "F":
        raise InvalidMedia(
            "a PIL image of mode F has floating-point pixels, whose range is unknown; pass an array as "
            "ImageArray(array, value_range=(0, 1))"
        )
    try:
        orientation = image.getexif().get(_ORIENTATION, _UPRIGHT)
        if orientation == _UPRIGHT and not image.has_transparency_data and not image.mode.startswith("I"):
            return Image(pixels=to_pixels(np.asarray(image.convert("RGB"))))
        return Image(data=_to_png(image, orientation))
    except OSError as error:  # a file that Pillow opened, but whose pixels it cannot read
        raise InvalidMedia(f"a PIL image cannot be decoded: {error}") from None


def _to_png(image: PIL.Image.Image, orientation: int) -> bytes:
    from PIL.Image import Exif  # the caller has loaded Pillow; others never do

    exif = Exif()  # of the photograph's metadata only the orientation is sent
    exif[_ORIENTATION] = orientation
    if image.mode not in _PNG_MODES:
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    file = io.BytesIO()
    image.save(file, "PNG", exif=exif, compress_level=1)
    return file.getvalue()
