import pytest

from identity_reward_client.errors import InvalidMedia, ScoringFailed
from reward_model.decoding import process
from reward_model.decoding.protocol import encode

INVALID_ANSWERS = {
    "too few fields": encode({"width": 1 << 40, "height": 4}),
    "a width below zero": encode({"container": "mp4", "codec": "x", "width": -1, "height": 1, "num_frames": 1,
                                "fps": 1.0, "duration_s": 1.0, "rotation": 0}),
    "endless pixels": encode({"shape": [1 << 40]}, 1 << 62),
    "unrequested pixels": encode({"shape": [4]}, 4) + b"1234",
    "a long text": b"\xff" * 64,
    "no object": (2).to_bytes(4, "big") + bytes(8) + b"[]",
}  # fmt: skip


@pytest.mark.parametrize("answer", INVALID_ANSWERS)
def test_invalid_answer_of_a_compromised_worker_is_an_error(make_pool, clip, monkeypatch, answer):
    script = (
        f"import os; os.write(0, {encode({'missing': []})!r}); os.read(0, 1); os.write(0, {INVALID_ANSWERS[answer]!r})"
    )
    # a worker that ends with the job unread would reset the connection, and its answer would be lost
    script += "\nwhile os.read(0, 1 << 16): pass"
    monkeypatch.setattr(process, "_MAIN", script)
    with pytest.raises(InvalidMedia, match="its decoder sent an invalid answer"), make_pool().video(clip()):
        pass


def test_error_of_a_worker_that_cannot_start_states_the_reason(make_pool):
    with pytest.raises(ScoringFailed, match=r"did not start: KeyError.*no decoder is called 'gstreamer'"):
        make_pool(decoder="gstreamer")
