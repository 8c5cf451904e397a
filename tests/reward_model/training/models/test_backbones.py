import pytest

from reward_model.training.configs.base import ModelConfig
from reward_model.training.models.backbones import BACKBONES
from reward_model.training.models.initial import initial_model


def test_names_of_backbones():
    assert set(BACKBONES) == {"tiny", "small", "compact"}


@pytest.mark.parametrize(("name", "millions"), [("small", 2.0), ("compact", 6.9)])
def test_number_of_parameters_of_a_backbone(name, millions):
    model, _ = initial_model(ModelConfig(backbone=name), 0)
    assert sum(parameter.numel() for parameter in model.parameters()) / 1e6 == pytest.approx(millions, abs=0.05)
