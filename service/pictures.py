"""Pictures on the wire to uint8 RGB [H, W, 3]: upright, opaque, 8 bits. Sizes are checked before pixels are decoded."""

from __future__ import annotations

import io
import warnings

import numpy as np
from PIL import Image as Pillow
from PIL import ImageOps

from identity_reward_client.errors import InputRefused, InvalidMedia, LimitExceeded, RewardError
from identity_reward_client.messages import Image, Video

from .settings import Settings

# no format that runs a program or reads other files
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")
# what it says of damaged files is said by our errors
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
# Pillow warns of large pictures below the size at which it refuses them; our own limit answers before that
warnings.filterwarnings("ignore", category=Pillow.DecompressionBombWarning)


def refuse_links(message: Image | Video, what: str) -> None:
    for name in ("url", "path"):
        if getattr(message, name) is not None:
            raise InputRefused(f"{what} was given as a {name}, which this server doesn't take; send its bytes")


def decode_picture(image: Image, limits: Settings, what: str = "the picture") -> np.ndarray:
    """uint8 RGB [H, W, 3]. InvalidMedia, LimitExceeded or InputRefused, whose message starts with `what`."""
    refuse_links(image, what)
    if image.pixels is not None:
        height, width, _ = image.pixels.shape
        _check_size(width, height, limits, what)
        return np.frombuffer(image.pixels.data, np.uint8).reshape(height, width, 3).copy()
    data = memoryview(image.data or b"")
    if not data.nbytes:
        raise InvalidMedia(f"{what} is empty: 0 bytes")
    try:
        with Pillow.open(io.BytesIO(data), formats=FORMATS) as file:
            _check_size(*file.size, limits, what)
            # a phone's MPO is a photograph with a preview beside it, not an animation
            if file.format != "MPO" and getattr(file, "is_animated", False):
                count = getattr(file, "n_frames", 2)
                raise InvalidMedia(f"{what} is an animated or many-page {file.format} of {count} pictures; send one")
            return _to_rgb(ImageOps.exif_transpose(file))
    except RewardError:
        raise
    except Pillow.UnidentifiedImageError:
        raise InvalidMedia(
            f"{what} ({data.nbytes} bytes) is no picture that can be read; send {', '.join(FORMATS)}"
        ) from None
    except Pillow.DecompressionBombError:
        raise LimitExceeded(f"{what} is over {limits.max_image_pixels} pixels") from None
    except Exception as error:
        raise InvalidMedia(f"{what} ({data.nbytes} bytes) can't be decoded: {type(error).__name__}") from None


def _check_size(width: int, height: int, limits: Settings, what: str) -> None:
    if width * height > limits.max_image_pixels:
        raise LimitExceeded(
            f"{what} is {width}x{height}, {width * height} pixels; at most {limits.max_image_pixels} are taken",
            details={"limit": "max_image_pixels", "maximum": limits.max_image_pixels},
        )


def _to_rgb(picture: Pillow.Image) -> np.ndarray:
    if picture.mode.startswith("I"):
        deep = np.asarray(picture).astype(np.int64)
        if deep.min() < 0 or deep.max() > 65535:
            raise InvalidMedia("the picture has more than 16 bits a channel; send 8 or 16")
        # 65535 / 255 = 257
        picture = Pillow.fromarray(((deep + 128) // 257).astype(np.uint8))
    elif picture.mode == "F":
        raise InvalidMedia("the picture has floating-point pixels, whose range is unknown; send 8 or 16 bits a channel")
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        picture = Pillow.alpha_composite(Pillow.new("RGBA", picture.size, "white"), picture)
    return np.array(picture.convert("RGB"))
