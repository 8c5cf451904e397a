"""Trackers of accelerate beside the run's own metrics: wandb, mlflow and others, and pictures for TensorBoard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import PartialState
from accelerate.tracking import LOGGER_TYPE_TO_CLASS, GeneralTracker, get_available_trackers
from PIL import Image

from reward_model.training.errors import TrainingError
from trainer.types import ScoredGroup

TENSORBOARD = "tensorboard"


class Trackers:
    """Trackers of the main process, opened with the first values. TensorBoard gets only images here: the run loop
    writes its scalars. It has the methods of a `hooks.Guard`, so that a run gives it the values of every step.

    Args:
        names: of accelerate's trackers. TrainingError for one that accelerate does not know or that is not installed.
        out: the run's folder; its name is the run's name where a tracker asks for one.
        config: fields of the run's configuration, by dotted name.
    """

    def __init__(self, names: Sequence[str], out: Path, config: Mapping[str, Any]) -> None:
        check_trackers(names)
        self._names, self._out, self._config = tuple(names), out, dict(config)
        self._opened: list[GeneralTracker] | None = None

    def measure(self, group: ScoredGroup) -> Mapping[str, float]:
        """Nothing."""
        return {}

    def check(self, number: int, values: Mapping[str, float]) -> None:
        """Sends the values of a step, and never stops."""
        self.log(number, values)

    def log(self, step: int, values: Mapping[str, Any]) -> None:
        """Scalars of a step; what is no number is left out."""
        scalars = {name: value for name, value in values.items() if isinstance(value, int | float)}
        for tracker in self._trackers():
            if tracker.name != TENSORBOARD:
                tracker.log(scalars, step=step)

    def log_image(self, step: int, name: str, image: Image.Image) -> None:
        """An image, for the trackers that take images."""
        for tracker in self._trackers():
            if tracker.name == TENSORBOARD:
                tracker.log_images({name: np.asarray(image)[None]}, step=step, dataformats="NHWC")
            elif hasattr(tracker, "log_images"):
                tracker.log_images({name: [np.asarray(image)]}, step=step)

    def close(self) -> None:
        """Ends the run at every tracker."""
        for tracker in self._opened or ():
            tracker.finish()
        self._opened = []

    def _trackers(self) -> Sequence[GeneralTracker]:
        if self._opened is None:
            is_main = PartialState().is_main_process
            self._opened = [_open(name, self._out) for name in self._names] if is_main else []
            for tracker in self._opened:
                if tracker.name != TENSORBOARD:
                    tracker.store_init_configuration(self._config)
        return self._opened


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
