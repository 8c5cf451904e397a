"""Sections of rewards and of the guards beside them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from identity_reward_client.fields.warnings import WarningCode
from reward_model.training.configs.base import Count, Positive, Section

MeasureName = Literal["motion", "reference_similarity", "saturation", "clipped_pixels"]


class SourceConfig(Section):
    """One model of a service whose weighted rewards are added."""

    # name in logs
    name: Annotated[str, Field(pattern=r"^[\w.-]+$")]
    # name of a served model; unset: the service's default
    model: str | None = None
    # factor of its reward; 0: only watched, and a video is valid without it
    weight: Annotated[float, Field(allow_inf_nan=False)] = 1.0
    # its service, where that is another one than rewards.url
    url: str | None = None


class RewardsConfig(Section):
    """The reward service and its models."""

    # http:// or https:// address of the service
    url: str = "http://127.0.0.1:3000"
    # models whose weighted rewards are added; scales differ between models
    sources: Annotated[tuple[SourceConfig, ...], Field(min_length=1)] = (SourceConfig(name="identity"),)
    # frames per second that the service is told; unset: the policy's. The released trainer writes every clip with 10,
    # whatever the policy's rate is, and "compat" is the rate that a model assumes for such clips
    fps: Positive | Literal["compat"] | None = None
    # groups that are scored at the same time; sampling waits while there are as many
    max_in_flight: Count = 8
    # seconds that an update waits for rewards at most; a reward that is not there by then is missing
    step_wait_s: Positive = 600.0
    # codes of warnings for which a video counts as one without a reward: reference_copy, still_video, ...
    drop_on: tuple[WarningCode, ...] = ()
    # before the first update every reference set is sent with a grey clip, so that images that no model can read are
    # reported at once
    check_references: bool = True

    @model_validator(mode="after")
    def _check_sources(self) -> RewardsConfig:
        names = [source.name for source in self.sources]
        if len(set(names)) != len(names):
            raise ValueError(f"rewards.sources: two have the same name: {', '.join(names)}")
        if taken := {"reward", "std"} & set(names):
            raise ValueError(f"rewards.sources: {taken.pop()} is the name of another value; choose another one")
        if not any(source.weight for source in self.sources):
            raise ValueError("rewards.sources: at least one needs a weight other than 0")
        return self


class EarlyStopConfig(Section):
    """Ends a run when a watched reward falls while the trained reward rises."""

    # name of a source with weight 0
    watched: str
    # fall of the watched reward below its highest average that ends the run, in its own units
    fall: Positive
    # updates of one average
    window: Count = 10


class GuardsConfig(Section):
    """Values that are logged beside the reward and never part of it."""

    # measurements of pixels: motion, reference_similarity (copies of a reference), saturation, clipped_pixels
    measures: tuple[MeasureName, ...] = ("motion", "reference_similarity", "saturation", "clipped_pixels")
    # name of the source whose answers count the faces in each frame (face-tracks and arcface do); unset: not counted
    faces_of: str | None = None
    # unset: the run goes on whatever the watched reward does
    early_stop: EarlyStopConfig | None = None
