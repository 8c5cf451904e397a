import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from reward_model.checkpoint import TensorEntry, save, tensor_entries, weights_sha256
from reward_model.folder import CheckpointError, read_config
from reward_model.qwen.loading import load_folder, load_model
from reward_model.qwen.tiny import tiny_config, tiny_model, tiny_tokenizer
from reward_model.registry import load_scorer


@pytest.fixture(scope="module")
def model():
    return tiny_model(tiny_config(tiny_tokenizer()))


def test_a_saved_model_is_the_model(model, tmp_path, noise_sample):
    config = save(tmp_path / "tiny", model.config, tiny_tokenizer().to_json(), tensor_entries(model.state_dict()))
    assert config == model.config  # the hash of weights in memory is that of the file
    saved, builtin = load_scorer(str(tmp_path / "tiny")), load_scorer("tiny")
    assert saved.info == builtin.info
    sample = noise_sample()
    assert saved.forward([saved.preprocess(sample)]) == builtin.forward([builtin.preprocess(sample)])


def test_the_file_is_plain_safetensors(model, tmp_path):
    save(tmp_path / "tiny", model.config, tiny_tokenizer().to_json(), tensor_entries(model.state_dict()))
    state = load_file(tmp_path / "tiny/model.safetensors")
    assert state.keys() == model.state_dict().keys()
    for name, tensor in model.state_dict().items():
        assert torch.equal(state[name], tensor)


def test_mixed_types_keep_their_values(tmp_path):
    tensors = {
        "b": torch.randn(3, 5),
        "a": torch.randn(7).bfloat16(),
        "c": torch.randn(2, 2, 2).half(),
        "e": torch.ones(()),
    }
    save(tmp_path / "x", tiny_config(tiny_tokenizer()), tiny_tokenizer().to_json(), tensor_entries(tensors))
    state = load_file(tmp_path / "x/model.safetensors")
    assert all(
        torch.equal(state[name], tensor) and state[name].dtype == tensor.dtype for name, tensor in tensors.items()
    )
    assert weights_sha256(tensor_entries(tensors)) == weights_sha256(tensor_entries(dict(reversed(tensors.items()))))


def test_a_write_that_fails_leaves_nothing(model, tmp_path):
    def broken():
        raise RuntimeError("the disk went away")

    tensors = [*tensor_entries(model.state_dict()), TensorEntry("z", (2,), torch.float32, broken)]
    with pytest.raises(RuntimeError, match="went away"):
        save(tmp_path / "tiny", model.config, tiny_tokenizer().to_json(), tensors)
    assert list(tmp_path.iterdir()) == []


def test_too_little_space_is_said_before_writing(model, tmp_path):
    huge = [TensorEntry("z", (1 << 50,), torch.float32, lambda: torch.zeros(1))]
    with pytest.raises(CheckpointError, match=r"GB free and the model needs 4503599\.6 GB"):
        save(tmp_path / "tiny", model.config, tiny_tokenizer().to_json(), huge)
    assert list(tmp_path.iterdir()) == []


def test_weights_of_another_model_are_listed(model, tmp_path):
    state = model.state_dict()
    del state["norm.weight"]
    state["head.bias"] = torch.zeros(1)
    state["head.weight"] = torch.zeros(1, 8)
    save(tmp_path / "tiny", model.config, tiny_tokenizer().to_json(), tensor_entries(state))
    with pytest.raises(CheckpointError, match=r"missing norm\.weight; unexpected head\.bias; head\.weight is \[1, 8\]"):
        load_model(tmp_path / "tiny")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_precision_is_chosen_at_loading(model, tmp_path, dtype):
    save(tmp_path / "tiny", model.config, tiny_tokenizer().to_json(), tensor_entries(model.state_dict()))
    scorer = load_folder(tmp_path / "tiny", dtype=dtype)
    assert scorer.info.dtype == dtype
    assert {p.dtype for p in scorer.model.body.parameters()} == {getattr(torch, dtype)}
    assert scorer.model.norm.weight.dtype == torch.float32
    with pytest.raises(CheckpointError, match="float32 or bfloat16"):
        load_folder(tmp_path / "tiny", dtype="int4")


def test_a_folder_without_a_model_says_what_it_lacks(tmp_path):
    with pytest.raises(CheckpointError, match=r"lacks config\.json, model\.safetensors, tokenizer\.json"):
        read_config(tmp_path)
    with pytest.raises(CheckpointError, match="is no folder"):
        read_config(tmp_path / "nowhere")


def test_reading_a_config_loads_no_torch(model, tmp_path):
    save(
        tmp_path / "tiny",
        replace(model.config, name="likeness"),
        tiny_tokenizer().to_json(),
        tensor_entries(model.state_dict()),
    )
    program = (
        "import sys, pathlib; from reward_model.folder import read_config; "
        f"print(read_config(pathlib.Path({str(tmp_path / 'tiny')!r})).name, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "likeness False\n", done.stderr
