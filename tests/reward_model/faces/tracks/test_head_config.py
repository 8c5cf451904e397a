from dataclasses import replace

import pytest

from reward_model.faces.tracks.head_config import TrackHeadConfig, head_config_json, read_head_config
from reward_model.folder import CONFIG, WEIGHTS, CheckpointError


def write(folder, text: str) -> None:
    (folder / WEIGHTS).touch()
    (folder / CONFIG).write_text(text)


def test_a_written_config_is_read_back(tmp_path):
    config = TrackHeadConfig(hidden=8, num_members=3, weights_sha256="1" * 64, training={"pairs": 4})
    write(tmp_path, head_config_json(config))
    assert read_head_config(tmp_path) == config


def test_a_head_for_other_features_is_refused(tmp_path):
    write(tmp_path, head_config_json(TrackHeadConfig(frame_features=("present",))))
    with pytest.raises(CheckpointError, match=r"other frame features .* train it again"):
        read_head_config(tmp_path)


def test_the_fingerprint_is_that_of_what_decides_a_score():
    config = TrackHeadConfig()
    assert replace(config, training={"pairs": 4}).fingerprint == config.fingerprint
    assert replace(config, weights_sha256="1" * 64).fingerprint != config.fingerprint
