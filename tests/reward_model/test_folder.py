import subprocess
import sys
from dataclasses import replace

import pytest

from reward_model.checkpoint import save, tensor_entries
from reward_model.folder import CheckpointError, kind_of, read_config
from reward_model.qwen.tiny import tiny_config, tiny_model, tiny_tokenizer


def test_missing_files_are_listed(tmp_path):
    with pytest.raises(CheckpointError, match=r"lacks config\.json, model\.safetensors, tokenizer\.json"):
        read_config(tmp_path)
    with pytest.raises(CheckpointError, match="is no folder"):
        read_config(tmp_path / "nowhere")


def test_reading_a_config_imports_no_torch(tmp_path):
    model = tiny_model(tiny_config(tiny_tokenizer()))
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
    completed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert completed.stdout == "likeness False\n", completed.stderr


def test_kind_is_read_from_the_config(tmp_path):
    assert kind_of(tmp_path) is None
    (tmp_path / "config.json").write_text('{"kind": "face-tracks"}')
    assert kind_of(tmp_path) == "face-tracks"
    (tmp_path / "config.json").write_text("not JSON")
    assert kind_of(tmp_path) is None
