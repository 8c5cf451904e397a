"""Result of one video, from the scheduler to the response."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from identity_reward_client.errors import RewardError
from identity_reward_client.fields.warnings import ScoreWarning
from reward_model.types import Score


@dataclass(frozen=True)
class SampledVideo:
    """Frames of a video that a model looks at."""

    # frames per second of the source
    fps: float
    num_source_frames: int
    # indices in the source, in the order of the sample
    frame_indices: tuple[int, ...]
    # id by content; None where results aren't cached
    video_id: str | None = None
    # those that hold for every model; the scorer's are in its score
    warnings: tuple[ScoreWarning, ...] = ()


@dataclass(frozen=True)
class PreparedItem:
    """Input of a scorer's forward pass for one video."""

    # what the scorer's `preprocess` returned
    inputs: Any
    video: SampledVideo


@dataclass(frozen=True)
class ItemResult:
    """Either the score of a video and the frames that it was computed from, or a typed error."""

    score: Score | None = None
    video: SampledVideo | None = None
    error: RewardError | None = None

    @property
    def warnings(self) -> tuple[ScoreWarning, ...]:
        """The scorer's, then those of the video; empty for an error."""
        score = () if self.score is None else self.score.warnings
        return score if self.video is None else (*score, *self.video.warnings)
