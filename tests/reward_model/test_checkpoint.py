import pytest
import torch
from safetensors.torch import load_file, save_file

from reward_model.checkpoint import TensorEntry, save, tensor_entries, weights_sha256
from reward_model.folder import CheckpointError
from reward_model.qwen.tiny import tiny_config, tiny_model, tiny_tokenizer
from reward_model.registry import load_scorer


@pytest.fixture(scope="module")
def model():
    return tiny_model(tiny_config(tiny_tokenizer()))


def test_saved_model_has_the_fingerprint_and_rewards_of_the_original(model, tmp_path, noise_sample):
    config = save(tmp_path / "tiny", model.config, tiny_tokenizer().to_json(), tensor_entries(model.state_dict()))
    assert config == model.config  # the hash of weights in memory is that of the file
    saved, builtin = load_scorer(str(tmp_path / "tiny")), load_scorer("tiny")
    assert saved.info == builtin.info
    sample = noise_sample()
    assert saved.forward([saved.preprocess(sample)]) == builtin.forward([builtin.preprocess(sample)])


def test_weights_file_equals_that_of_the_safetensors_writer(model, tmp_path):
    save(tmp_path / "tiny", model.config, tiny_tokenizer().to_json(), tensor_entries(model.state_dict()))
    save_file(model.state_dict(), tmp_path / "plain.safetensors")
    assert (tmp_path / "tiny/model.safetensors").read_bytes() == (tmp_path / "plain.safetensors").read_bytes()
    state = load_file(tmp_path / "tiny/model.safetensors")
    assert state.keys() == model.state_dict().keys()
    for name, tensor in model.state_dict().items():
        assert torch.equal(state[name], tensor)


def test_tensors_of_mixed_dtypes_keep_their_values(tmp_path):
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


def test_failed_write_leaves_no_files(model, tmp_path):
    def broken():
        raise RuntimeError("the disk went away")

    tensors = [*tensor_entries(model.state_dict()), TensorEntry("z", (2,), torch.float32, broken)]
    with pytest.raises(RuntimeError, match="went away"):
        save(tmp_path / "tiny", model.config, tiny_tokenizer().to_json(), tensors)
    assert list(tmp_path.iterdir()) == []


def test_full_disk_is_an_error_before_writing(model, tmp_path):
    huge = [TensorEntry("z", (1 << 50,), torch.float32, lambda: torch.zeros(1))]
    with pytest.raises(CheckpointError, match=r"GB free and the model needs 4503599\.6 GB"):
        save(tmp_path / "tiny", model.config, tiny_tokenizer().to_json(), huge)
    assert list(tmp_path.iterdir()) == []
