import pytest

from reward_model.folder import CheckpointError
from reward_model.registry import DEFAULT_SCORER, SCORERS, load_scorer, require_registered


def test_unknown_names_are_key_errors_that_list_the_registered_ones():
    for call in (require_registered, load_scorer):
        with pytest.raises(KeyError, match=r"no model is called 'face-trakcs'; there are arcface, .*, tiny"):
            call("face-trakcs")


def test_names_folders_and_onnx_files_are_accepted(tmp_path):
    for name in (*SCORERS, str(tmp_path), "faces.onnx"):
        require_registered(name)
    assert DEFAULT_SCORER in SCORERS


def test_a_folder_without_a_model_is_a_checkpoint_error(tmp_path):
    with pytest.raises(CheckpointError, match=r"lacks config.json, model.safetensors, tokenizer.json"):
        load_scorer(str(tmp_path))
    with pytest.raises(CheckpointError, match="dtype is float32 or bfloat16, got 'int8'"):
        load_scorer(str(tmp_path), dtype="int8")
