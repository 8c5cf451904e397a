import pytest
import yaml

from reward_model.training.configs.base import FREE_TO_CHANGE
from reward_model.training.configs.files import config_yaml, differences, flat, parse_config, read_config, shipped
from reward_model.training.configs.preferences import PreferenceTrainingConfig
from reward_model.training.errors import TrainingError


@pytest.mark.parametrize("name", shipped())
def test_shipped_config_round_trips_through_yaml(name):
    config = read_config(name)
    assert parse_config(yaml.safe_load(config_yaml(config)), "again") == config


def test_release_and_paper_configs_have_the_published_settings():
    assert set(shipped()) >= {"smoke", "compact", "release", "paper"}
    for name, frames in (("release", "identity-grpo"), ("paper", "paper")):
        config = read_config(name)
        assert (config.batch, config.model.frame_sampling, config.precision) == (32, frames, "bf16")
        assert config.lora is not None
        assert (config.lora.r, config.lora.alpha, config.lora.dropout) == (64, 128, 0.05)
        assert {rate for _, rate in config.learning_rates} == {2e-6}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("learning_rate.vision=1", "learning_rate is no field; did you mean learning_rates?"),
        ("learning_rates.visoin=1", "learning_rates.visoin is no field; did you mean vision?"),
        ("lora.rank=3", "lora.rank is no field; there are r, alpha, dropout"),
        ("batch=none", "batch: Input should be a valid integer"),
        ("steps=0", "steps: Input should be greater than or equal to 1, got 0"),
        ("epochs=2", "exactly one of steps and epochs is needed, got 100 and 2"),
        ("loss.theta=1", "loss.theta: Input should be greater than 1"),
        ("precision=fp8", "precision: Input should be 'fp32' or 'bf16', got 'fp8'"),
        ("batch", "--set takes KEY=VALUE"),
        ("batch.size=4", "--set batch.size: batch is no section"),
        ("batch=[", "'[' is no YAML value"),
    ],
)
def test_error_names_the_wrong_field(override, message):
    with pytest.raises(TrainingError) as error:
        read_config("smoke", [override])
    assert message in str(error.value)


def test_error_names_the_field_of_a_list_entry():
    with pytest.raises(TrainingError, match=r"train.0.wieght is no field; did you mean weight\?"):
        read_config("face-tracks", ["train=[{path: x.jsonl, wieght: 2}]"])


def test_missing_or_invalid_config_file_is_refused_with_the_reason(tmp_path):
    with pytest.raises(
        TrainingError, match="there are compact, compact-language, compact-vision, face-tracks, paper, release, smoke"
    ):
        read_config("smok")
    path = tmp_path / "config.yaml"
    for text, message in (("- 1", "holds a list"), ("a: [", "can't be read as YAML")):
        path.write_text(text)
        with pytest.raises(TrainingError, match=message):
            read_config(str(path))


def test_exponents_without_a_decimal_point_are_numbers(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("learning_rates: {vision: 2e-6}\nsteps: 1\n")
    assert read_config(str(path)).learning_rates.vision == 2e-6
    assert read_config(str(path), ["lora=null", "data.clean=x.jsonl"]).data.clean == "x.jsonl"


def test_dev_file_among_the_training_files_is_refused():
    with pytest.raises(TrainingError, match="trained on too"):
        read_config("smoke", ["data.clean=a.jsonl", "data.dev=a.jsonl"])


def test_differences_exclude_fields_that_may_change_on_resume():
    old = read_config("smoke")
    assert not differences(old, read_config("smoke", ["data.workers=7", "save_every=3"]))
    assert differences(old, read_config("smoke", ["batch=4", "learning_rates.vision=1"])) == [
        "learning_rates.vision was 0.001 and is 1.0",
        "batch was 8 and is 4",
    ]
    assert [difference.split(" ")[0] for difference in differences(old, read_config("smoke", ["lora.r=4"]))] == [
        "lora.r",
        "lora.alpha",
        "lora.dropout",
    ]
    assert not differences(old, read_config("smoke", ["micro_batch=1"]))
    lora = [read_config("smoke", ["lora.dropout=0.1", f"micro_batch={micro}"]) for micro in (1, 2)]
    assert differences(*lora) == ["micro_batch was 1 and is 2"]
    every_kind = [PreferenceTrainingConfig(steps=1), read_config("compact-vision"), read_config("face-tracks")]
    fields = {key for config in every_kind for key, _ in flat(config.model_dump())}
    assert fields >= FREE_TO_CHANGE
