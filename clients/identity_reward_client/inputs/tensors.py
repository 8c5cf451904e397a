"""Arrays and tensors <-> uint8 frames <-> the wire's pixels. No copy where none is needed, no torch import.

Taken: uint8 [T, H, W, 3] or [T, 3, H, W] (pictures without T), from numpy, torch (any device, bfloat16 too) or
anything that numpy can read. The layout is read off the axis of size 3; when both could be it, it must be named.
Floats are taken only with their range named (`Frames(video, fps=16, value_range=(0, 1))`): x goes to
`rint((x - low) / (high - low) * 255)`, half to even, in float32. NaN, infinity and values outside the range are
refused; an overshoot under a thousandth of the range, less than half a grey level, is clipped.

Every fault is an InvalidRequest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ..errors import InvalidRequest
from ..fps import Fps
from ..messages import Pixels

_OVERSHOOT = 1e-3  # of the range


@dataclass(frozen=True, eq=False)
class Frames:
    """A clip in memory, with what its array alone does not say."""

    array: Any  # [T, H, W, 3] or [T, 3, H, W]
    fps: Fps | None = None  # frames a second of the clip, or "compat"
    layout: Literal["THWC", "TCHW"] | None = None  # None: read off the shape
    value_range: tuple[float, float] | None = None  # of a float array: what black and white are


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture in memory, with what its array alone does not say."""

    array: Any  # [H, W, 3] or [3, H, W]
    layout: Literal["HWC", "CHW"] | None = None
    value_range: tuple[float, float] | None = None


def is_array(value: Any) -> bool:
    """Whether `value` is a numpy array, a torch tensor or the like."""
    return hasattr(value, "__array__") and hasattr(value, "shape") and hasattr(value, "dtype")


def to_uint8_frames(
    array: Any,
    *,
    layout: str | None = None,
    value_range: tuple[float, float] | None = None,
    indices: Sequence[int] | None = None,
) -> np.ndarray:
    """[T, H, W, 3] uint8, C order. With `indices`, those frames alone are fetched, checked and converted."""
    _check_shape(array, 4, "a clip is [T, H, W, 3] or [T, 3, H, W]; pass one clip at a time")
    channels_last = _channels_last(tuple(array.shape), layout, "THWC", "TCHW")
    if indices is not None and list(indices) != list(range(array.shape[0])):
        array = array[list(indices)]
    return _to_uint8(array, value_range, channels_last)


def to_uint8_picture(
    array: Any, *, layout: str | None = None, value_range: tuple[float, float] | None = None
) -> np.ndarray:
    """[H, W, 3] uint8, C order."""
    _check_shape(array, 3, "a picture is [H, W, 3] or [3, H, W]")
    return _to_uint8(array, value_range, _channels_last(tuple(array.shape), layout, "HWC", "CHW"))


def to_pixels(array: np.ndarray) -> Pixels:
    """The wire's pixels over the memory of a C-ordered uint8 array."""
    return Pixels(shape=list(array.shape), data=array.data.cast("B"))


def from_pixels(pixels: Pixels) -> np.ndarray:
    """uint8 [H, W, 3] or [T, H, W, 3] over the message's memory; read-only where that is."""
    return np.frombuffer(pixels.data, dtype=np.uint8).reshape(pixels.shape)


def _check_shape(array: Any, dimensions: int, wanted: str):
    shape = tuple(array.shape)
    if len(shape) != dimensions or 0 in shape:
        raise InvalidRequest(f"{wanted}; got an array of shape {list(shape)}")


def _channels_last(shape: tuple[int, ...], layout: str | None, last: str, first: str) -> bool:
    sizes = {last: shape[-1], first: shape[-3]}
    if layout is not None:
        if layout not in sizes:
            raise InvalidRequest(f"layout must be {last!r} or {first!r}, got {layout!r}")
        if sizes[layout] != 3:
            raise InvalidRequest(
                f"an array of shape {list(shape)} isn't {layout}: its channel axis has {sizes[layout]}"
            )
        return layout == last
    if sizes[last] == sizes[first] == 3:
        wrapper = "Frames" if len(shape) == 4 else "Picture"
        raise InvalidRequest(
            f"shape {list(shape)} may be {last} or {first}: name it, {wrapper}(array, layout={last!r}) or {first!r}"
        )
    if 3 not in sizes.values():
        raise InvalidRequest(f"no RGB channel axis of size 3 in shape {list(shape)}; {last} and {first} are taken")
    return sizes[last] == 3


def _to_uint8(array: Any, value_range: tuple[float, float] | None, channels_last: bool) -> np.ndarray:
    array = _to_numpy(array)
    if array.dtype == np.uint8:
        if value_range is not None and tuple(value_range) != (0, 255):
            raise InvalidRequest(f"value_range is for float arrays; uint8 is 0 to 255, got {tuple(value_range)}")
    elif np.issubdtype(array.dtype, np.floating):
        array = _to_levels(array, value_range)
    else:
        raise InvalidRequest(f"pixels must be uint8, or floats with their range named; got {array.dtype}")
    return np.ascontiguousarray(array if channels_last else np.moveaxis(array, -3, -1))


def _to_numpy(array: Any) -> np.ndarray:
    if hasattr(array, "detach"):
        array = array.detach()
        if str(array.dtype) == "torch.bfloat16":  # numpy has none
            array = array.float()
        array = array.cpu().numpy()
    return np.asarray(array)


def _to_levels(array: np.ndarray, value_range: tuple[float, float] | None) -> np.ndarray:
    if value_range is None:
        raise InvalidRequest(
            f"a {array.dtype} array needs its range: Frames(array, fps=..., value_range=(0, 1)) or (-1, 1)"
        )
    low, high = map(float, value_range)
    if not low < high or not np.isfinite([low, high]).all():
        raise InvalidRequest(f"value_range must be two finite numbers in ascending order, got {tuple(value_range)}")
    with np.errstate(over="ignore", invalid="ignore"):
        levels = array.astype(np.float32)
        least, most = float(levels.min()), float(levels.max())
        if not np.isfinite([least, most]).all():
            raise InvalidRequest("pixels hold NaN or infinity")
        slack = _OVERSHOOT * (high - low)
        if least < low - slack or most > high + slack:
            raise InvalidRequest(f"pixels run from {least:g} to {most:g}, outside value_range ({low:g}, {high:g})")
        levels -= np.float32(low)
        levels *= np.float32(255 / (high - low))
    return np.clip(np.rint(levels, out=levels), 0, 255).astype(np.uint8)
