"""Trackers of accelerate beside the run's own metrics: wandb, mlflow and others, and pictures for TensorBoard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from accelerate.tracking import LOGGER_TYPE_TO_CLASS, GeneralTracker, get_available_trackers
from PIL import Image

from reward_model.training.errors import TrainingError

TENSORBOARD = "tensorboard"


class Trackers:
    """Trackers of the main process. TensorBoard gets only images here: the run loop writes its scalars.

    Args:
        names: of accelerate's trackers. TrainingError for one that accelerate does not know or that is not installed.
        out: the run's folder; its name is the run's name where a tracker asks for one.
        config: fields of the run's configuration, by dotted name.
    """

    def __init__(self, names: Sequence[str], out: Path, config: Mapping[str, Any]) -> None:
        check_trackers(names)
        self._trackers: list[GeneralTracker] = [_open(name, out) for name in names]
        for tracker in self._trackers:
            if tracker.name != TENSORBOARD:
                tracker.store_init_configuration(dict(config))

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Scalars of a step."""
        for tracker in self._trackers:
            if tracker.name != TENSORBOARD:
                tracker.log(dict(values), step=step)

    def log_image(self, step: int, name: str, image: Image.Image) -> None:
        """An image, for the trackers that take images."""
        for tracker in self._trackers:
            if tracker.name == TENSORBOARD:
                tracker.log_images({name: np.asarray(image)[None]}, step=step, dataformats="NHWC")
            elif hasattr(tracker, "log_images"):
                tracker.log_images({name: [np.asarray(image)]}, step=step)

    def close(self) -> None:
        """Ends the run at every tracker."""
        for tracker in self._trackers:
            tracker.finish()


def check_trackers(names: Sequence[str]) -> None:
    """TrainingError for a tracker that accelerate does not know, or whose package is not installed."""
    installed = {str(name) for name in get_available_trackers()}
    for name in names:
        if name not in LOGGER_TYPE_TO_CLASS:
            raise TrainingError(f"tracking.trackers: no tracker {name!r}; there are {', '.join(LOGGER_TYPE_TO_CLASS)}")
        if name not in installed:
            raise TrainingError(f"tracking.trackers: the package of {name} is not installed")


def _open(name: str, out: Path) -> GeneralTracker:
    kind = LOGGER_TYPE_TO_CLASS[name]
    if name == TENSORBOARD:
        tracker = kind("images", out / TENSORBOARD)
    elif kind.requires_logging_directory:
        tracker = kind(out.name, out)
    else:
        tracker = kind(out.name)
    tracker.start()
    return tracker
