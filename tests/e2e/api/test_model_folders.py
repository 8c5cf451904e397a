"""A model folder is served like a registered model, whatever the working directory is."""

import subprocess
from dataclasses import replace

import httpx
import pytest
from typer.testing import CliRunner

from identity_reward_client.cli.app import app
from identity_reward_client.messages import ScoreResponse
from reward_model.checkpoint import save, tensor_entries
from reward_model.importing.importer import import_checkpoint
from reward_model.qwen import tiny
from tests.reward_model.importing.conftest import Release
from tests.support.media import b64
from tests.support.server import COMMAND
from tests.support.waiting import GENEROUS_S


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    tokenizer = tiny.tiny_tokenizer()
    config = tiny.tiny_config(tokenizer)
    model = tiny.tiny_model(config)
    path = tmp_path_factory.mktemp("models") / "mine"
    save(path, replace(config, name="mine-v2"), tokenizer.to_json(), tensor_entries(model.state_dict()))
    return path


def test_a_served_folder_has_its_own_name_and_rewards(serve, http, folder, score_body):
    server = serve("--model", folder.name, "--port", "0", cwd=folder.parent).wait_ready()
    assert server.out[0].startswith("serving mine-v2 (default) on ")
    mine = httpx.post(f"{server.url}/v1/score", json=score_body | {"model": "mine-v2"}, timeout=GENEROUS_S)
    assert mine.status_code == 200, mine.text
    assert mine.json()["reward"] == http.post("/v1/score", json=score_body).json()["reward"]
    assert server.end() == 0


def test_missing_files_of_a_folder_are_named(serve, folder, tmp_path):
    (tmp_path / "config.json").write_text((folder / "config.json").read_text())
    server = serve("--model", str(tmp_path), "--port", "0")
    assert server.wait() == 2
    assert server.err == [
        f"identity-reward serve: {tmp_path} can't be served: {tmp_path} lacks model.safetensors, tokenizer.json\n"
    ]


@pytest.fixture(scope="module")
def imported(tmp_path_factory):
    release = Release(tmp_path_factory.mktemp("release"))
    checkpoint, upstream, base = release.write()
    import_checkpoint(checkpoint, upstream, release.folder / "out", base, name="identity-grpo")
    return release.folder / "out"


def test_an_imported_checkpoint_scores_the_same_served_and_local(serve, imported, tmp_path, reference_jpeg, clip_mp4):
    """The file has 12 frames per second; compat scores it at the 10 of trainers' files, which changes the score."""
    (tmp_path / "anna.jpg").write_bytes(reference_jpeg)
    (tmp_path / "clip.mp4").write_bytes(clip_mp4)
    server = serve("--model", str(imported), "--port", "0").wait_ready()

    def score(*options):
        files = ["-r", str(tmp_path / "anna.jpg"), str(tmp_path / "clip.mp4")]
        result = CliRunner().invoke(app, ["score", "--json", *files, *options])
        assert result.exit_code == 0, result.stderr
        return ScoreResponse.model_validate_json(result.stdout)

    served = score("--url", server.url, "--fps", "compat")
    local = score("--local", "--model", str(imported), "--fps", "compat")
    assert served.reward == pytest.approx(local.reward, abs=1e-6)
    assert served.model == local.model
    assert (served.model.name, served.model.frame_sampling) == ("identity-grpo", "identity-grpo")
    assert not served.model.prompt_used
    assert (served.fps, served.frame_indices) == (local.fps, local.frame_indices) == (10, [0, 4, 7, 11])
    assert served.reward == score("--url", server.url, "--fps", "10", "--prompt", "ignored").reward
    raw = httpx.post(f"{server.url}/v1/score", timeout=GENEROUS_S, json={
        "references": [{"data": b64(reference_jpeg)}], "video": {"data": b64(clip_mp4), "fps": "compat"},
    }).json()  # fmt: skip
    assert raw["reward"] == served.reward
    rough = score("--local", "--model", str(imported), "--fps", "compat", "--dtype", "bfloat16")
    assert 0 < abs(rough.reward - local.reward) < 0.2
    assert server.end() == 0


def test_compat_fps_is_refused_by_a_model_without_an_assumed_rate(http, score_body):
    score_body["video"]["fps"] = "compat"
    answer = http.post("/v1/score", json=score_body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "missing_fps")
    assert "tiny-uniform-4 assumes none" in answer.json()["error"]["message"]


@pytest.mark.parametrize("verb", ["score", "models"])
def test_a_folder_that_is_no_model_is_one_line_in_process(folder, tmp_path, verb):
    (tmp_path / "config.json").write_text("{}")
    inputs = ["-r", "a.jpg", "b.mp4"] if verb == "score" else []
    completed = subprocess.run(
        [COMMAND, verb, *inputs, "--local", "--model", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=GENEROUS_S,
    )
    assert (completed.returncode, completed.stdout) == (1, "")
    assert (
        completed.stderr == f"error: {tmp_path} can't be served: {tmp_path} lacks model.safetensors, tokenizer.json\n"
    )


@pytest.mark.parametrize("verb", ["compare", "rank", "models"])
def test_every_command_takes_a_folder_in_process(
    folder, tmp_path, monkeypatch, reference_jpeg, clip_mp4, other_mp4, verb
):
    for name, data in {"a.jpg": reference_jpeg, "b.mp4": clip_mp4, "c.mp4": other_mp4}.items():
        (tmp_path / name).write_bytes(data)
    inputs = [] if verb == "models" else ["-r", "a.jpg", "b.mp4", "c.mp4"]
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, [verb, *inputs, "--local", "--model", str(folder)])
    assert result.exit_code == 0, result.stderr
    assert "mine-v2" in result.stdout
