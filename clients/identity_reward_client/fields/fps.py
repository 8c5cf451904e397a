"""Frame rate of a clip: a number, or "compat" for the rate that a model assumes for every file.

"compat" is for trainers that write one rate into every file whatever the clip's own is: 10 for the released
Identity-GRPO model, whose scores depend on it.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import PlainValidator, TypeAdapter, ValidationError

from ..errors import InvalidRequest, MissingFps
from ..frame_sampling import FrameSampling

COMPAT: Literal["compat"] = "compat"
_NUMBER = TypeAdapter(float)


def _to_fps(value: Any) -> float | Literal["compat"]:
    if isinstance(value, str) and value == COMPAT:
        return COMPAT
    try:
        return _NUMBER.validate_python(value)
    except ValidationError:
        raise ValueError(f'expected a number or "{COMPAT}"') from None


# frames per second in a message; the range of a number is checked where the model is known
Fps = Annotated[float | Literal["compat"], PlainValidator(_to_fps, json_schema_input_type=float | Literal["compat"])]


def check_fps(fps: Any) -> Fps | None:
    """`fps` as a positive, finite number, "compat" or None. InvalidRequest for anything else."""
    if fps is None or (isinstance(fps, str) and fps == COMPAT):
        return fps
    try:
        value = float(fps)
    except (TypeError, ValueError):
        shown = repr(fps[:40]) if isinstance(fps, str) else type(fps).__name__
        raise InvalidRequest(f'fps must be a number or "{COMPAT}", got {shown}') from None
    if not math.isfinite(value) or value <= 0:
        raise InvalidRequest(f"fps must be a positive, finite number, got {fps}")
    return value


def resolve_fps(fps: Fps, sampling: FrameSampling) -> float:
    """`fps` in frames per second. MissingFps for "compat" if the model assumes no rate."""
    if fps != COMPAT:
        return float(fps)
    if sampling.compat_fps is None:
        raise MissingFps(
            f'fps "{COMPAT}" is for models that assume a rate, and frame sampling {sampling.name} assumes none; send '
            "the clip's frames per second",
            details={"frame_sampling": sampling.name},
        )
    return sampling.compat_fps
