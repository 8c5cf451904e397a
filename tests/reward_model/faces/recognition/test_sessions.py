import logging

import onnxruntime
import pytest

from reward_model.faces.arcface import load
from reward_model.faces.recognition import sessions


@pytest.fixture(autouse=True)
def _first_time(monkeypatch):
    """Each test is the first in its process that asks for a device, and onnxruntime has no CUDA."""
    sessions._log_fallback.cache_clear()
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])


def test_without_cuda_in_onnxruntime_faces_are_computed_on_the_cpu_and_one_line_says_so(caplog):
    with caplog.at_level(logging.WARNING, "identity_reward"):
        scorer = load("cuda:1")
        load("cuda:1", "minimum")
    assert [record.getMessage() for record in caplog.records] == [
        "faces are computed on the CPU, not on cuda:1: onnxruntime has no working CUDA provider here "
        "(the package onnxruntime-gpu has one)"
    ]
    assert scorer.reader is load("cpu").reader
    assert scorer.info.device == "cpu"


def test_on_the_cpu_nothing_is_logged(caplog):
    with caplog.at_level(logging.WARNING, "identity_reward"):
        assert sessions.face_device("cpu") == "cpu"
    assert not caplog.records


def test_with_cuda_in_onnxruntime_the_device_is_used(monkeypatch):
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [sessions.CUDA, "CPUExecutionProvider"])
    assert sessions.face_device("cuda:1") == "cuda:1"
