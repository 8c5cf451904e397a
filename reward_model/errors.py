"""What can go wrong while scoring. `code` is the wire's code for it, as in identity_reward_client.errors."""

from __future__ import annotations

from typing import Any, ClassVar


class ScoringError(Exception):
    code: ClassVar[str] = "scoring_failed"
    # True: it is about the references or the request, so that no video of its group can be scored
    whole_group: ClassVar[bool] = False

    def __init__(self, message: str, **details: Any):
        super().__init__(message)
        self.message = message
        self.details = details

    def __reduce__(self):
        return _rebuild, (type(self), self.message, self.details)


def _rebuild(cls, message, details):
    return cls(message, **details)


class InvalidMedia(ScoringError):
    """Bytes that no decoder takes, a short read, an animated picture."""

    code = "invalid_media"


class LimitExceeded(ScoringError):
    code = "limit_exceeded"


class MissingFps(ScoringError):
    code = "missing_fps"


class FrameIndexMismatch(ScoringError):
    code = "frame_index_mismatch"


class ReferenceWithoutFace(ScoringError):
    code = "reference_without_face"
    whole_group = True


class OutOfMemory(ScoringError):
    """The device ran out of memory on this sample, also when it was tried in a smaller batch."""


class DeviceLost(ScoringError):
    """The device's context is gone: nothing can be computed in this process any more."""


class NonFiniteReward(ScoringError):
    code = "non_finite_reward"
