"""A folder is served like a registered model, whatever directory the command is given in."""

from dataclasses import replace

import httpx
import pytest

from reward_model import tiny
from reward_model.checkpoint import entries, save


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    tokenizer = tiny.tiny_tokenizer()
    config = tiny.tiny_config(tokenizer)
    model = tiny.tiny_model(config)
    where = tmp_path_factory.mktemp("models") / "mine"
    save(where, replace(config, name="mine-v2"), tokenizer, entries(model.state_dict()))
    return where


def test_a_folder_answers_under_its_own_name_with_its_own_numbers(serve, http, folder, score_body):
    server = serve("--model", folder.name, "--port", "0", cwd=folder.parent).wait_ready()
    assert server.out[0].startswith("serving mine-v2 (default) on ")
    mine = httpx.post(f"{server.url}/v1/score", json=score_body | {"model": "mine-v2"}, timeout=60)
    assert mine.status_code == 200, mine.text
    assert mine.json()["reward"] == http.post("/v1/score", json=score_body).json()["reward"]
    assert server.end() == 0


def test_a_folder_that_lacks_files_is_refused_with_their_names(serve, folder, tmp_path):
    (tmp_path / "config.json").write_text((folder / "config.json").read_text())
    server = serve("--model", str(tmp_path), "--port", "0")
    assert server.wait() == 2
    assert server.err == [
        f"identity-reward serve: {tmp_path} can't be served: {tmp_path} lacks model.safetensors, tokenizer.json\n"
    ]
