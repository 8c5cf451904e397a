import pytest
import torch

from reward_model.checkpoint import save, tensor_entries
from reward_model.folder import CheckpointError
from reward_model.qwen.loading import load_folder, load_model
from reward_model.qwen.tiny import tiny_config, tiny_model, tiny_tokenizer


@pytest.fixture(scope="module")
def model():
    return tiny_model(tiny_config(tiny_tokenizer()))


def test_differences_to_the_weights_of_another_model_are_listed(model, tmp_path):
    state = model.state_dict()
    del state["norm.weight"]
    state["head.bias"] = torch.zeros(1)
    state["head.weight"] = torch.zeros(1, 8)
    save(tmp_path / "tiny", model.config, tiny_tokenizer().to_json(), tensor_entries(state))
    with pytest.raises(CheckpointError, match=r"missing norm\.weight; unexpected head\.bias; head\.weight is \[1, 8\]"):
        load_model(tmp_path / "tiny")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_dtype_of_the_body_is_chosen_when_loading(model, tmp_path, dtype):
    save(tmp_path / "tiny", model.config, tiny_tokenizer().to_json(), tensor_entries(model.state_dict()))
    scorer = load_folder(tmp_path / "tiny", dtype=dtype)
    assert scorer.info.dtype == dtype
    assert {p.dtype for p in scorer.model.body.parameters()} == {getattr(torch, dtype)}
    assert scorer.model.norm.weight.dtype == torch.float32
    with pytest.raises(CheckpointError, match="float32 or bfloat16"):
        load_folder(tmp_path / "tiny", dtype="int4")


def test_replaced_weights_are_refused(model, tmp_path):
    save(tmp_path / "tiny", model.config, tiny_tokenizer().to_json(), tensor_entries(model.state_dict()))
    weights = tmp_path / "tiny/model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    with pytest.raises(CheckpointError, match=r"isn't the file that config\.json was written with"):
        load_model(tmp_path / "tiny")
