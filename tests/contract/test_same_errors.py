"""Input that can't be scored is refused with the same code, message and details over HTTP, over gRPC and in process."""

import numpy as np
import pytest

from identity_reward_client.errors import PayloadTooLarge, RewardError
from identity_reward_client.messages import Image, Pixels, Video

SET_ID = "sha256:" + "0" * 64


def frames(count: int, **fields) -> Video:
    return Video(frames=Pixels(shape=[count, 8, 8, 3], data=bytes(count * 192)), **({"fps": 4} | fields))


CASES = {
    "a file that is no video": ("invalid_media", lambda c, r, v: c.score([r], b"rubbish")),
    "a file that is no image": ("invalid_media", lambda c, r, v: c.score([b"rubbish"], v)),
    "too many references": ("limit_exceeded", lambda c, r, v: c.score([r] * 4, v)),
    "too many stored references": ("limit_exceeded", lambda c, r, v: c.put_references([r] * 4)),
    "too many videos": ("limit_exceeded", lambda c, r, v: c.score_group([r], [frames(4)] * 9)),
    "too many frames": ("limit_exceeded", lambda c, r, v: c.score([r], frames(65), model="tiny")),
    "a long prompt": ("limit_exceeded", lambda c, r, v: c.score([r], v, prompt="x" * 5000)),
    "frames without fps": ("missing_fps", lambda c, r, v: c.score([r], frames(4, fps=None), model="tiny")),
    "no compat rate": ("missing_fps", lambda c, r, v: c.score([r], frames(4, fps="compat"), model="tiny")),
    "other frames than the model's": (
        "frame_index_mismatch",
        lambda c, r, v: c.score([r], frames(4, num_source_frames=12, frame_indices=[0, 1, 2, 3]), model="tiny"),
    ),
    "a URL": ("input_refused", lambda c, r, v: c.score([r], Video(url="https://example.org/a.mp4"))),
    "a path": ("input_refused", lambda c, r, v: c.score([Image(path="/etc/passwd")], v)),
    "no images": ("invalid_media", lambda c, r, v: c.score([r], Video(images=[], fps=4), model="tiny")),
    "an unknown model": ("model_not_found", lambda c, r, v: c.score([r], v, model="nope")),
    "an unknown set": ("reference_set_not_found", lambda c, r, v: c.score(SET_ID, v)),
    "a theta that is too large": ("invalid_request", lambda c, r, v: c.compare([r], v, v, theta=1e9)),
    "a theta that is too small": ("invalid_request", lambda c, r, v: c.compare([r], v, v, theta=1)),
    "no face": (
        "reference_without_face",
        lambda c, r, v: c.score([np.zeros((64, 64, 3), np.uint8)], v, model="arcface"),
    ),
    "one side of a pair": ("invalid_media", lambda c, r, v: c.compare([r], v, b"rubbish")),
}


@pytest.mark.parametrize("name", CASES)
def test_every_transport_raises_the_same_error(clients, reference_jpeg, clip_mp4, name):
    code, call = CASES[name]
    errors = []
    for client in clients.values():
        with pytest.raises(RewardError) as caught:
            call(client, reference_jpeg, clip_mp4)
        errors.append((caught.value.code, caught.value.message, caught.value.details))
    assert errors[0][0] == code
    assert all(error == errors[0] for error in errors), errors


def test_a_request_over_the_servers_limit_in_chunks(clients, reference_jpeg):
    with pytest.raises(PayloadTooLarge, match="over 8388608 bytes") as caught:
        clients["grpc"].score([reference_jpeg], bytes(9 << 20))
    assert caught.value.details == {"limit": "max_body_bytes", "maximum": 8 << 20}
