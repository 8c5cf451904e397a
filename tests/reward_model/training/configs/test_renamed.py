import pytest

from reward_model.training.configs.files import differences, parse_config, read_config
from reward_model.training.configs.preferences import PreferenceTrainingConfig
from reward_model.training.configs.vision_pretraining import VisionPretrainingConfig
from reward_model.training.errors import TrainingError

EARLIER_VISION = """
kind: heads
model: {init: scratch, backbone: compact, template: pictures}
data: {window: 84, harmed: 0.25}
harm: 2.0
"""
EARLIER_PREFERENCES = "{steps: 1, supervision: {attention: 1.0, failures: 4.0}}"


def test_file_of_an_earlier_version_is_the_same_configuration(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(EARLIER_VISION)
    vision = read_config(str(path))
    assert isinstance(vision, VisionPretrainingConfig)
    assert vision.kind == "vision-pretraining"
    assert (vision.data.corrupted_share, vision.corruption, vision.model.template) == (0.25, 2.0, "images")
    path.write_text(EARLIER_PREFERENCES)
    preferences = read_config(str(path))
    assert isinstance(preferences, PreferenceTrainingConfig)
    assert preferences.supervision is not None
    assert preferences.supervision.corruptions == 4


def test_run_of_an_earlier_version_has_no_differences_to_resume(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(EARLIER_VISION)
    current = {
        "kind": "vision-pretraining", "corruption": 2.0, "data": {"window": 84, "corrupted_share": 0.25},
        "model": {"init": "scratch", "backbone": "compact", "template": "images"},
    }  # fmt: skip
    assert differences(read_config(str(path)), parse_config(current, "current")) == []


@pytest.mark.parametrize("overrides", [["data.harmed=0.1", "harm=3"], ["data={window: 84, harmed: 0.1}", "harm=3"]])
def test_earlier_names_are_read_in_overrides_and_as_names_of_shipped_files(overrides):
    config = read_config("compact-heads", ["model.template=pictures", *overrides])
    assert isinstance(config, VisionPretrainingConfig)
    assert (config.data.corrupted_share, config.corruption, config.model.template) == (0.1, 3, "images")
    assert read_config("compact-heads") == read_config("compact-vision")


def test_field_under_both_names_is_refused(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("{kind: heads, data: {window: 84, corrupted_share: 0.5, harmed: 0.1}}")
    with pytest.raises(TrainingError, match=r"data.harmed is an earlier name of data.corrupted_share; give one"):
        read_config(str(path))
