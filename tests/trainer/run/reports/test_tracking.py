from typing import ClassVar

import numpy as np
import pytest
from accelerate import tracking as accelerate_tracking
from accelerate.tracking import GeneralTracker
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from reward_model.training.errors import TrainingError
from trainer.run.reports.tracking import Trackers, check_trackers


class Recorder(GeneralTracker):
    """A tracker of a user's own, as `accelerate.tracking.register_tracker_class` takes it."""

    name = "recorder"
    requires_logging_directory = False
    calls: ClassVar[list] = []

    def __init__(self, run_name, **_):
        super().__init__()
        self.calls.append(("run", run_name))

    def start(self):
        self.calls.append(("start",))

    @property
    def tracker(self):
        return self

    def store_init_configuration(self, values):
        self.calls.append(("config", values))

    def log(self, values, step, **_):
        self.calls.append((step, values))

    def log_images(self, values, step, **_):
        self.calls.append((step, {name: [image.shape for image in images] for name, images in values.items()}))


@pytest.fixture
def recorder(monkeypatch):
    monkeypatch.setattr(Recorder, "calls", [])
    monkeypatch.setitem(accelerate_tracking.LOGGER_TYPE_TO_CLASS, "recorder", Recorder)
    monkeypatch.setattr("trainer.run.reports.tracking.get_available_trackers", lambda: ["recorder", "tensorboard"])
    return Recorder


def test_a_tracker_gets_config_scalars_and_images(recorder, tmp_path):
    trackers = Trackers(["recorder"], tmp_path / "run", {"steps": 3})
    trackers.log(0, {"reward": 0.5})
    trackers.log_image(0, "clips", Image.new("RGB", (20, 10)))
    trackers.close()
    assert recorder.calls == [
        ("run", "run"), ("start",), ("config", {"steps": 3}), (0, {"reward": 0.5}), (0, {"clips": [(10, 20, 3)]}),
    ]  # fmt: skip


def test_tensorboard_gets_images_only(tmp_path):
    trackers = Trackers(["tensorboard"], tmp_path, {"steps": 3})
    trackers.log(4, {"reward": 0.5})
    trackers.log_image(4, "clips", Image.fromarray(np.full((10, 20, 3), 80, np.uint8)))
    trackers.close()
    events = EventAccumulator(str(tmp_path / "tensorboard/images"), size_guidance={"images": 0}).Reload()
    assert events.Tags()["scalars"] == []
    [image] = events.Images("clips")
    assert (image.step, image.height, image.width) == (4, 10, 20)


def test_unknown_and_missing_trackers_are_one_line(monkeypatch):
    with pytest.raises(TrainingError, match=r"no tracker 'paper'; there are .*wandb"):
        check_trackers(["paper"])
    monkeypatch.setattr("trainer.run.reports.tracking.get_available_trackers", lambda: [])
    with pytest.raises(TrainingError, match="the package of wandb is not installed"):
        check_trackers(["wandb"])
