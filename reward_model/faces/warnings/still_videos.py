"""Videos whose pixels do not change."""

from __future__ import annotations

import cv2
import numpy as np

from identity_reward_client.fields.warnings import ScoreWarning, WarningCode
from reward_model.types import Video

# frames are compared as grey images of this side: averaging removes most of the noise of compression, and a cell is
# still small enough to show an eye that blinks
GREY_SIDE = 32
# Grey levels (of 256) by which a cell of a still video changes at most. Measured on a photograph and on noise, repeated
# 40 times: 0 to 2 as H.264 at crf 18 to 35 and as VP8, 4 with a key frame every second, 8 to 11 as MPEG-4 part 2 at its
# default, which is missed. The 59 held-out clips and the example clips change by 15 or more.
MAX_STILL_CHANGE = 6.0


def largest_change(frames_THWC: np.ndarray) -> float:
    """Largest range of any cell of the shrunken grey frames over the clip, in levels 0..255. uint8 RGB."""
    grey_TSS = np.stack(
        [
            cv2.resize(
                cv2.cvtColor(np.ascontiguousarray(frame_HWC), cv2.COLOR_RGB2GRAY), (GREY_SIDE, GREY_SIDE),
                interpolation=cv2.INTER_AREA,
            )
            for frame_HWC in frames_THWC
        ]
    ).astype(np.int16)  # fmt: skip
    return float(np.ptp(grey_TSS, axis=0).max())


def still_video_warnings(video: Video) -> list[ScoreWarning]:
    """At most one. A single distinct frame is a short clip, not a still one."""
    positions = np.unique(video.frame_indices, return_index=True)[1]
    if len(positions) < 2:
        return []
    change = largest_change(video.frames_THWC[positions])
    if change > MAX_STILL_CHANGE:
        return []
    message = (
        f"the video does not move: its {len(positions)} sampled frames differ by {change:.0f} of 255 grey levels at "
        f"most (threshold {MAX_STILL_CHANGE:.0f})"
    )
    return [ScoreWarning(code=WarningCode.STILL_VIDEO, message=message)]
