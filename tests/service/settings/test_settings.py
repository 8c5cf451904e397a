import pytest

from service.settings.settings import Settings, SettingsError


def test_defaults_hold_together():
    settings = Settings()
    assert settings.models == ("face-tracks", "compact")
    assert settings.default == "face-tracks"
    assert settings.max_waiting_tokens >= settings.max_batch_tokens


def test_every_field_is_described_and_numbers_carry_their_unit():
    units = ("_bytes", "_pixels", "_frames", "_s", "_references", "_videos", "_chars", "_items", "_threads",
                 "_workers", "_tokens", "_entries", "_calls", "_ratio")  # fmt: skip
    for name, field in Settings.model_fields.items():
        assert field.description, name
        if field.annotation in (int, float):
            assert name.endswith(units), name


def test_the_environment_is_read():
    settings = Settings.from_environment(
        {"IDENTITY_REWARD_MODELS": "tiny, arcface", "IDENTITY_REWARD_MAX_DURATION_S": "2.5", "HOME": "/"}
    )
    assert settings.models == ("tiny", "arcface")
    assert settings.max_duration_s == 2.5


def test_values_given_win_over_the_environment():
    assert Settings.from_environment({"IDENTITY_REWARD_DEVICE": "cuda"}, device="cpu").device == "cpu"


def test_what_a_child_gets_is_what_the_parent_has(monkeypatch):
    monkeypatch.setenv("IDENTITY_REWARD_MODELS", "arcface")
    monkeypatch.setenv("UNRELATED", "kept")
    settings = Settings(models=("tiny", "arcface"), default_model="arcface", max_body_bytes=77)
    environment = settings.environment()
    assert environment["UNRELATED"] == "kept"
    assert Settings.from_environment(environment) == settings


@pytest.mark.parametrize(
    ("variable", "text", "says"),
    [
        ("MAX_BODY_BYTES", "many", "max_body_bytes = 'many': Input should be a valid integer"),
        ("MAX_BODY_BYTES", "-1", "greater than 0 (IDENTITY_REWARD_MAX_BODY_BYTES)"),
        ("DEVICE", "gpu", "device = 'gpu'"),
        ("DEFAULT_MODEL", "other", "default_model 'other' is not among the served models face-tracks, compact"),
        ("MODELS", " , ", "models"),
        ("MAX_BODY_BYTE", "1", "did you mean IDENTITY_REWARD_MAX_BODY_BYTES"),
    ],
)
def test_a_bad_value_is_one_line(variable, text, says):
    with pytest.raises(SettingsError) as caught:
        Settings.from_environment({f"IDENTITY_REWARD_{variable}": text})
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_settings_are_frozen():
    with pytest.raises(ValueError, match="frozen"):
        Settings().device = "cuda"
