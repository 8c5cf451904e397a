"""Image files to uint8 RGB by Pillow. Imports no torch; sizes are checked before pixels are decoded."""

from __future__ import annotations

import io
import warnings
from typing import Literal

import numpy as np

# named one by one, so that Pillow does not load its forty other plugins to look for them
from PIL import (  # noqa: F401
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageOps,
    JpegImagePlugin,
    MpoImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from identity_reward_client.errors import InvalidMedia, LimitExceeded, RewardError

# no format that runs a program or reads other files
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")
# our errors report damaged files
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
# Pillow warns of large images below the size at which it refuses them; our own limit is below both
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)

# How a file becomes pixels; see `decode_image`.
ImageRule = Literal["upright", "as-stored"]


def decode_image(data: bytes | memoryview, what: str, max_pixels: int, rule: ImageRule = "upright") -> np.ndarray:
    """uint8 RGB [H, W, 3].

    `rule` "upright": turned by the EXIF orientation, transparency on white, 16 bits scaled to 8. "as-stored": the
    pixels that the released Identity-GRPO code reads: RGBA on white, everything else as Pillow converts it to RGB,
    which ignores the orientation and other transparency, and clips 16-bit values at 255.

    InvalidMedia for a file that cannot be decoded, LimitExceeded for one of more than `max_pixels`; the message starts
    with `what`.
    """
    size = memoryview(data).nbytes
    if not size:
        raise InvalidMedia(f"{what} is empty: 0 bytes")
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as file:
            _check_size(*file.size, max_pixels, what)
            # a phone's MPO is a photograph with a preview beside it, not an animation
            if file.format != "MPO" and getattr(file, "is_animated", False):
                count = getattr(file, "n_frames", 2)
                raise InvalidMedia(f"{what} is an animated or many-page {file.format} of {count} images; send one")
            return _to_rgb(ImageOps.exif_transpose(file) if rule == "upright" else file, rule, what)
    except RewardError:
        raise
    except Image.DecompressionBombError:
        raise LimitExceeded(
            f"{what} is over {max_pixels} pixels", details={"limit": "max_image_pixels", "maximum": max_pixels}
        ) from None
    except Exception as error:
        if _ends_early(bytes(memoryview(data)[:8]), size, error):
            raise InvalidMedia(
                f"{what} ({size} bytes) ends too early: the file is cut short; send the whole file"
            ) from None
        if isinstance(error, Image.UnidentifiedImageError):
            raise InvalidMedia(
                f"{what} ({size} bytes) is no image that can be read; send {', '.join(FORMATS)}"
            ) from None
        raise InvalidMedia(f"{what} ({size} bytes) can't be decoded: {type(error).__name__}") from None


def _ends_early(start: bytes, size: int, error: Exception) -> bool:
    """Whether a file of `size` bytes that could not be decoded is shorter than it says."""
    if start[:4] == b"RIFF":  # WebP states its length
        return int.from_bytes(start[4:8], "little") + 8 > size
    if start[:4] in (b"II*\0", b"MM\0*"):  # TIFF states where its directory is
        order: Literal["little", "big"] = "little" if start[:1] == b"I" else "big"
        if int.from_bytes(start[4:8], order) >= size:
            return True
    # Pillow has no class for it
    return isinstance(error, EOFError) or "truncated" in str(error).lower()


def _check_size(width: int, height: int, max_pixels: int, what: str) -> None:
    if width * height > max_pixels:
        raise LimitExceeded(
            f"{what} is {width}x{height}, {width * height} pixels; at most {max_pixels} are taken",
            details={"limit": "max_image_pixels", "maximum": max_pixels},
        )


def _to_rgb(image: Image.Image, rule: ImageRule, what: str) -> np.ndarray:
    if image.mode.startswith("I"):
        image = _to_8_bits(image, rule, what)
    elif image.mode == "F":
        raise InvalidMedia(f"{what} has floating-point pixels, whose range is unknown; send 8 or 16 bits a channel")
    transparent = image.has_transparency_data if rule == "upright" else image.mode == "RGBA"
    if transparent:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return np.array(image.convert("RGB"))


def _to_8_bits(image: Image.Image, rule: ImageRule, what: str) -> Image.Image:
    deep = np.asarray(image)
    if rule == "as-stored":
        return Image.fromarray(np.clip(deep, 0, 255).astype(np.uint8))
    if deep.min() < 0 or deep.max() > 65535:
        raise InvalidMedia(f"{what} has more than 16 bits a channel; send 8 or 16")
    # 65535 / 255 = 257
    return Image.fromarray(((deep.astype(np.uint32) + 128) // 257).astype(np.uint8))
