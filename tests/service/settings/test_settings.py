import pytest

from service.settings.settings import Settings, SettingsError
from tests.service.flat_settings import flat_settings


def test_defaults_are_consistent():
    settings = Settings()
    assert settings.inference.models == ("face-tracks", "compact")
    assert settings.inference.default == "face-tracks"
    assert settings.scheduling.max_waiting_tokens >= settings.scheduling.max_batch_tokens


def test_every_field_is_described_and_numbers_carry_their_unit():
    units = ("_bytes", "_pixels", "_frames", "_s", "_references", "_videos", "_chars", "_items", "_threads",
                 "_workers", "_tokens", "_entries", "_calls", "_ratio")  # fmt: skip
    for variable, (_, name, field) in Settings.variables().items():
        assert field.description, variable
        if field.annotation in (int, float):
            assert name.endswith(units), variable


def test_environment_names_are_the_flat_ones():
    names = {name.removeprefix("IDENTITY_REWARD_").lower() for name in Settings.variables()}
    flat = """
        models default_model device dtype deterministic max_batch_tokens max_batch_memory_bytes feature_cache_bytes
        prefix_cache_bytes prefix_host_cache_bytes max_body_bytes max_image_pixels max_frame_pixels max_source_frames
        max_sent_frames max_duration_s max_decoded_bytes max_references max_group_videos max_prompt_chars
        max_reference_store_bytes max_waiting_tokens max_waiting_bytes client_videos_per_s client_burst_videos
        result_cache_entries idempotency_lifetime_s jobs_path max_job_items max_jobs_bytes max_running_job_items
        job_lifetime_s decode_threads decode_workers decode_timeout_s max_decoder_bytes video_decoder
        request_timeout_s drain_timeout_s grpc_port grpc_host grpc_max_calls grpc_keepalive_s grpc_tls_cert
        grpc_tls_key grpc_tls_client_ca tokens_path open_probes allow_anonymous url_hosts url_allow_http
        url_private_networks url_timeout_s path_roots access_log log_format otlp_endpoint trace_sample_ratio
        status_path
    """
    assert names == set(flat.split())


def test_fields_are_read_from_the_environment(monkeypatch):
    monkeypatch.setenv("IDENTITY_REWARD_MODELS", "tiny, arcface")
    monkeypatch.setenv("IDENTITY_REWARD_MAX_DURATION_S", "2.5")
    monkeypatch.setenv("IDENTITY_REWARD_GRPC_PORT", "50051")
    settings = Settings.load()
    assert settings.inference.models == ("tiny", "arcface")
    assert settings.media.max_duration_s == 2.5
    assert settings.grpc.port == 50051
    assert Settings() == settings


def test_given_fields_win_over_the_environment_which_keeps_the_others_of_their_group(monkeypatch):
    monkeypatch.setenv("IDENTITY_REWARD_DEVICE", "cuda")
    monkeypatch.setenv("IDENTITY_REWARD_DTYPE", "bfloat16")
    settings = Settings.load(inference={"device": "cpu"})
    assert (settings.inference.device, settings.inference.dtype) == ("cpu", "bfloat16")


def test_a_child_process_gets_the_settings_of_its_parent(monkeypatch):
    monkeypatch.setenv("IDENTITY_REWARD_MODELS", "arcface")
    monkeypatch.setenv("UNRELATED", "kept")
    settings = flat_settings(models=("tiny", "arcface"), default_model="arcface", max_body_bytes=77)
    environment = settings.environment()
    assert environment["UNRELATED"] == "kept"
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert Settings.load() == settings


@pytest.mark.parametrize(
    ("variable", "text", "message"),
    [
        ("MAX_BODY_BYTES", "many", "max_body_bytes = 'many': Input should be a valid integer"),
        ("MAX_BODY_BYTES", "-1", "greater than 0 (IDENTITY_REWARD_MAX_BODY_BYTES)"),
        ("DEVICE", "gpu", "device = 'gpu'"),
        ("DEFAULT_MODEL", "other", "default_model 'other' is not among the served models face-tracks, compact"),
        ("MODELS", " , ", "models = ' , '"),
        ("MAX_BODY_BYTE", "1", "did you mean IDENTITY_REWARD_MAX_BODY_BYTES"),
        ("GRPC_MAX_CALL", "1", "did you mean IDENTITY_REWARD_GRPC_MAX_CALLS"),
        ("GRPC_PORT", "70000", "grpc_port = '70000'"),
    ],
)
def test_a_bad_value_is_one_line(variable, text, message, monkeypatch):
    monkeypatch.setenv(f"IDENTITY_REWARD_{variable}", text)
    with pytest.raises(SettingsError) as caught:
        Settings.load()
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_variables_of_the_client_are_not_taken_for_misspelt_settings(monkeypatch):
    monkeypatch.setenv("IDENTITY_REWARD_TOKEN", "idr_secret")
    monkeypatch.setenv("IDENTITY_REWARD_URL", "http://localhost:3000")
    Settings.load()


def test_settings_are_frozen():
    with pytest.raises(ValueError, match="frozen"):
        Settings().inference.device = "cuda"
    with pytest.raises(ValueError, match="frozen"):
        Settings().inference = None
