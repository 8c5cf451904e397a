import pytest
from pydantic import ValidationError

from trainer.rewards.config import GuardsConfig, RewardsConfig


def test_defaults_are_one_reward_of_the_local_service():
    config = RewardsConfig()
    assert [(source.name, source.model, source.weight) for source in config.sources] == [("identity", None, 1.0)]
    assert config.fps is None


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        ([{"name": "a"}, {"name": "a"}], "two have the same name"),
        ([{"name": "a", "weight": 0}], "at least one needs a weight"),
        ([{"name": "reward"}], "reward is the name of another value"),
        ([], "at least 1 item"),
        ([{"name": "a/b"}], "match pattern"),
    ],
)
def test_impossible_sources_are_refused(sources, message):
    with pytest.raises(ValidationError, match=message):
        RewardsConfig(sources=sources)


def test_unknown_measures_and_warnings_are_refused():
    with pytest.raises(ValidationError, match="measures"):
        GuardsConfig(measures=["beauty"])
    with pytest.raises(ValidationError, match="drop_on"):
        RewardsConfig(drop_on=["ugly"])
