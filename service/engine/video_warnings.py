"""Warnings about a request's video that hold for every model: its frame rate and its length."""

from __future__ import annotations

from identity_reward_client.fields.fps import COMPAT
from identity_reward_client.fields.warnings import ScoreWarning, WarningCode
from identity_reward_client.frame_sampling import FrameSampling
from identity_reward_client.messages import Video
from reward_model import types

# a clip this short shows hardly more than one expression and one view of a face
MIN_DURATION_S = 0.5


def video_warnings(sent: Video, decoded: types.Video, sampling: FrameSampling) -> tuple[ScoreWarning, ...]:
    """Those of one video as it was sent and as it was decoded for a model with this frame sampling."""
    warnings = []
    if sent.fps == COMPAT:
        message = (
            f'the frame rate was sent as "{COMPAT}", so that {decoded.fps:g} frames per second are assumed instead of '
            "a measured rate"
        )
        warnings.append(ScoreWarning(code=WarningCode.FRAME_RATE_ASSUMED, message=message))
    if reasons := _short(decoded, sampling):
        message = f"the clip is short: {' and '.join(reasons)}"
        warnings.append(ScoreWarning(code=WarningCode.SHORT_CLIP, message=message))
    return tuple(warnings)


def _short(decoded: types.Video, sampling: FrameSampling) -> list[str]:
    num_distinct = len(set(decoded.frame_indices))
    # the uniform rule repeats frames of a short clip, the rule by frame rate samples fewer than its minimum
    num_expected = len(decoded.frame_indices) if sampling.fps is None else sampling.min_frames
    duration_s = decoded.num_source_frames / decoded.fps
    reasons = []
    if num_distinct < num_expected:
        reasons.append(f"it has {num_distinct} distinct frames, below the {num_expected} that the model samples")
    if duration_s < MIN_DURATION_S:
        reasons.append(f"it lasts {duration_s:.2g} s, below {MIN_DURATION_S:g} s")
    return reasons
