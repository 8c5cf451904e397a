"""Table of the warnings of scored videos, with the thresholds of the code."""

from __future__ import annotations

from identity_reward_client.fields.warnings import WarningCode
from reward_model.faces.warnings import copied_references, people, references, still_videos
from service.engine.video_warnings import MIN_DURATION_S

from .markdown import table

# code -> (when, by which models, what to do)
ROWS: dict[WarningCode, tuple[str, str, str]] = {
    WarningCode.REFERENCE_COPY: (
        f"in more than {copied_references.MIN_COPY_SHARE:.0%} of the frames the person's face is the reference's own "
        "image, or the other image of a loop with it",
        "`face-tracks`",
        "Do not reward it: drop the video from training (`drop_on`), and look at what the generator does.",
    ),
    WarningCode.STILL_VIDEO: (
        f"no cell of the frames, as {still_videos.GREY_SIDE} x {still_videos.GREY_SIDE} grey images, changes by more "
        f"than {still_videos.MAX_STILL_CHANGE:g} of 255 levels",
        "`face-tracks`, `arcface`",
        "Do not compare it with videos that move. A still image that is panned or zoomed is not noticed.",
    ),
    WarningCode.DUPLICATE_REFERENCES: (
        f"the cosine of two references' faces is at least {references.SAME_PERSON_COSINE}",
        "`face-tracks`, `arcface`",
        "Send one image of each person. Equal files are refused with 400. Two different photographs of one person "
        "often stay below the threshold.",
    ),
    WarningCode.UNCERTAIN_REFERENCE_FACE: (
        "the reference shows several faces (the largest is taken), or its face has a detector score below "
        f"{references.MIN_DETECTOR_SCORE}, a side below {references.MIN_REFERENCE_SIDE_PX} pixels, a nose that is off "
        f"by more than {references.MAX_YAW} distances between the eyes, or is clearer when the image is rotated",
        "`face-tracks`, `arcface`",
        "Crop the image to the person, turn it upright, or send a larger one from the front.",
    ),
    WarningCode.PERSON_RARELY_SEEN: (
        f"the person was found in less than {people.MIN_COVERAGE:.0%} of the sampled frames",
        "`face-tracks`, `arcface`",
        "Watch the video: the person may be missing, turned away or covered. The reward says little about likeness.",
    ),
    WarningCode.LOW_FACE_RESOLUTION: (
        f"the median side of the person's face in the video is below {people.MIN_FACE_SIDE_PX} pixels",
        "`face-tracks`, `arcface`",
        "Score the video at a higher resolution, or frame people closer. Small faces lose similarity to everybody.",
    ),
    WarningCode.FRAME_RATE_ASSUMED: (
        '`fps` was sent as "compat", so that the model\'s own rate is assumed',
        "every model with `compat_fps`",
        "Send the clip's frames per second, unless you compare with scores of the released Identity-GRPO code.",
    ),
    WarningCode.SHORT_CLIP: (
        "the video has fewer distinct frames than the model samples (for a model that samples by rate: than its "
        f"minimum), or lasts less than {MIN_DURATION_S:g} s",
        "every model",
        "Score longer clips; compare only clips of one length.",
    ),
}


def warnings() -> str:
    """A row for every code."""
    rows = [(f"`{code}`", *ROWS[code]) for code in WarningCode]
    return table(("code", "when", "model", "what to do"), rows)
