"""Conversion of arrays and tensors to uint8 pixels, without torch and without needless copies.

Input: uint8 or float, [T, H, W, 3] or [T, 3, H, W] (images without T), from numpy, torch (any device, bfloat16 too) or
anything that numpy can read. The layout is inferred from the axis of size 3; if both axes have that size, `layout` is
required.
Floats need their range (`Frames(video, fps=16, value_range=(0, 1))`): x becomes
`rint((x - low) / (high - low) * 255)`, half to even, in float32. NaN, infinity and values outside the range are
refused; an overshoot of up to a thousandth of the range, less than half a grey level, is clipped.

Every fault is an InvalidRequest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import InvalidRequest
from ..fields.fps import Fps
from ..messages import Pixels

_OVERSHOOT = 1e-3  # as a fraction of the range
UInt8Array = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Frames:
    """A clip in memory."""

    # [T, H, W, 3] or [T, 3, H, W], uint8 or float; or a list of images
    array: Any
    # frames per second of the clip, or "compat"
    fps: Fps | None = None
    # None: inferred from the shape
    layout: Literal["THWC", "TCHW"] | None = None
    # (black, white), for a float array: (0, 1) or (-1, 1)
    value_range: tuple[float, float] | None = None


@dataclass(frozen=True, eq=False)
class ImageArray:
    """An image in memory."""

    # [H, W, 3] or [3, H, W], uint8 or float
    array: Any
    # None: inferred from the shape
    layout: Literal["HWC", "CHW"] | None = None
    # (black, white), for a float array: (0, 1) or (-1, 1)
    value_range: tuple[float, float] | None = None


def is_array(value: Any) -> bool:
    """Whether `value` is a numpy array, a torch tensor or similar."""
    return hasattr(value, "__array__") and hasattr(value, "shape") and hasattr(value, "dtype")


def to_uint8_frames(
    array: Any,
    *,
    layout: str | None = None,
    value_range: tuple[float, float] | None = None,
    indices: Sequence[int] | None = None,
) -> UInt8Array:
    """A clip as uint8 [T, H, W, 3], C order. With `indices`, only those frames are copied, checked and converted."""
    _check_shape(array, 4, "a clip is [T, H, W, 3] or [T, 3, H, W]; pass one clip at a time")
    channels_last = _channels_last(tuple(array.shape), layout, "THWC", "TCHW")
    if indices is not None and list(indices) != list(range(array.shape[0])):
        array = array[list(indices)]
    return _to_uint8(array, value_range, channels_last)


def to_uint8_image(
    array: Any, *, layout: str | None = None, value_range: tuple[float, float] | None = None
) -> UInt8Array:
    """An image as uint8 [H, W, 3], C order."""
    _check_shape(array, 3, "an image is [H, W, 3] or [3, H, W]")
    return _to_uint8(array, value_range, _channels_last(tuple(array.shape), layout, "HWC", "CHW"))


def to_pixels(array: UInt8Array) -> Pixels:
    """A message that shares the memory of a C-ordered uint8 array."""
    return Pixels(shape=list(array.shape), data=array.data.cast("B"))


def from_pixels(pixels: Pixels) -> UInt8Array:
    """uint8 [H, W, 3] or [T, H, W, 3] that shares the message's memory; read-only if that is."""
    return np.frombuffer(pixels.data, dtype=np.uint8).reshape(pixels.shape)


def _check_shape(array: Any, dimensions: int, expected: str) -> None:
    shape = tuple(array.shape)
    if len(shape) != dimensions or 0 in shape:
        raise InvalidRequest(f"{expected}; got an array of shape {list(shape)}")


def _channels_last(shape: tuple[int, ...], layout: str | None, last: str, first: str) -> bool:
    sizes = {last: shape[-1], first: shape[-3]}
    if layout is not None:
        if layout not in sizes:
            raise InvalidRequest(f"layout must be {last!r} or {first!r}, got {layout!r}")
        if sizes[layout] != 3:
            raise InvalidRequest(
                f"an array of shape {list(shape)} is not {layout}: its channel axis has size {sizes[layout]}"
            )
        return layout == last
    if sizes[last] == sizes[first] == 3:
        wrapper = "Frames" if len(shape) == 4 else "ImageArray"
        raise InvalidRequest(
            f"shape {list(shape)} may be {last} or {first}: pass {wrapper}(array, layout={last!r}) or {first!r}"
        )
    if 3 not in sizes.values():
        raise InvalidRequest(f"no RGB channel axis of size 3 in shape {list(shape)}; the layout is {last} or {first}")
    return sizes[last] == 3


def _to_uint8(array: Any, value_range: tuple[float, float] | None, channels_last: bool) -> UInt8Array:
    array = _to_numpy(array)
    if array.dtype == np.uint8:
        if value_range is not None and tuple(value_range) != (0, 255):
            raise InvalidRequest(f"value_range is for float arrays; uint8 is 0 to 255, got {tuple(value_range)}")
    elif np.issubdtype(array.dtype, np.floating):
        array = _to_levels(array, value_range)
    else:
        raise InvalidRequest(f"pixels must be uint8, or floats with a value_range; got {array.dtype}")
    return np.ascontiguousarray(array if channels_last else np.moveaxis(array, -3, -1))


def _to_numpy(array: Any) -> NDArray[Any]:
    if hasattr(array, "detach"):
        array = array.detach()
        if str(array.dtype) == "torch.bfloat16":  # numpy has none
            array = array.float()
        array = array.cpu().numpy()
    return np.asarray(array)


def _to_levels(array: NDArray[Any], value_range: tuple[float, float] | None) -> UInt8Array:
    if value_range is None:
        raise InvalidRequest(
            f"a {array.dtype} array needs its range: Frames(array, fps=..., value_range=(0, 1)) or (-1, 1)"
        )
    low, high = map(float, value_range)
    if not low < high or not np.isfinite([low, high]).all():
        raise InvalidRequest(f"value_range must be two finite numbers in ascending order, got {tuple(value_range)}")
    with np.errstate(over="ignore", invalid="ignore"):
        levels = array.astype(np.float32)
        minimum, maximum = float(levels.min()), float(levels.max())
        if not np.isfinite([minimum, maximum]).all():
            raise InvalidRequest("pixels contain NaN or infinity")
        tolerance = _OVERSHOOT * (high - low)
        if minimum < low - tolerance or maximum > high + tolerance:
            raise InvalidRequest(
                f"pixels range from {minimum:g} to {maximum:g}, outside value_range ({low:g}, {high:g})"
            )
        levels -= np.float32(low)
        levels *= np.float32(255 / (high - low))
    return np.clip(np.rint(levels, out=levels), 0, 255).astype(np.uint8)
