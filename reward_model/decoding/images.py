"""Picture files to uint8 RGB by Pillow. Imports no torch; sizes are checked before pixels are decoded."""

from __future__ import annotations

import io
import warnings
from typing import Literal

import numpy as np

# named one by one, so that Pillow doesn't load its forty others to look for them
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
# what it says of damaged files is said by our errors
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
# Pillow warns of large pictures below the size at which it refuses them; our own limit answers before that
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)

PictureRule = Literal["upright", "as-stored"]


def decode_picture(data: bytes | memoryview, what: str, max_pixels: int, rule: PictureRule = "upright") -> np.ndarray:
    """uint8 RGB [H, W, 3]. InvalidMedia or LimitExceeded, whose message starts with `what`.

    `rule` "upright": turned by the EXIF orientation, transparency on white, 16 bits scaled to 8. "as-stored": what the
    released Identity-GRPO code sees: RGBA on white, everything else as Pillow converts it to RGB, which ignores the
    orientation, other transparency, and cuts 16 bits off at 255.
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
                raise InvalidMedia(f"{what} is an animated or many-page {file.format} of {count} pictures; send one")
            return _to_rgb(ImageOps.exif_transpose(file) if rule == "upright" else file, rule, what)
    except RewardError:
        raise
    except Image.UnidentifiedImageError:
        raise InvalidMedia(f"{what} ({size} bytes) is no picture that can be read; send {', '.join(FORMATS)}") from None
    except Image.DecompressionBombError:
        raise LimitExceeded(
            f"{what} is over {max_pixels} pixels", details={"limit": "max_image_pixels", "maximum": max_pixels}
        ) from None
    except Exception as error:
        raise InvalidMedia(f"{what} ({size} bytes) can't be decoded: {type(error).__name__}") from None


def _check_size(width: int, height: int, max_pixels: int, what: str) -> None:
    if width * height > max_pixels:
        raise LimitExceeded(
            f"{what} is {width}x{height}, {width * height} pixels; at most {max_pixels} are taken",
            details={"limit": "max_image_pixels", "maximum": max_pixels},
        )


def _to_rgb(picture: Image.Image, rule: PictureRule, what: str) -> np.ndarray:
    if picture.mode.startswith("I"):
        picture = _to_8_bits(picture, rule, what)
    elif picture.mode == "F":
        raise InvalidMedia(f"{what} has floating-point pixels, whose range is unknown; send 8 or 16 bits a channel")
    transparent = picture.has_transparency_data if rule == "upright" else picture.mode == "RGBA"
    if transparent:
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    return np.array(picture.convert("RGB"))


def _to_8_bits(picture: Image.Image, rule: PictureRule, what: str) -> Image.Image:
    deep = np.asarray(picture)
    if rule == "as-stored":
        return Image.fromarray(np.clip(deep, 0, 255).astype(np.uint8))
    if deep.min() < 0 or deep.max() > 65535:
        raise InvalidMedia(f"{what} has more than 16 bits a channel; send 8 or 16")
    # 65535 / 255 = 257
    return Image.fromarray(((deep.astype(np.uint32) + 128) // 257).astype(np.uint8))
