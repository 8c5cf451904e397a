"""The raw group body: what encode writes is what safetensors reads, and decode takes nothing else."""

import json
import struct

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st

from identity_reward_client.errors import InvalidRequest
from identity_reward_client.inputs.tensors import from_pixels, to_pixels
from identity_reward_client.messages import GroupRequest, Image, Video
from identity_reward_client.wire import raw_body

SET_ID = "sha256:" + "0f" * 32


def frames(seed, shape):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def clip(seed=0, shape=(2, 4, 6, 3), **fields):
    return Video(frames=to_pixels(frames(seed, shape)), **{"fps": 8, **fields})


def request(**fields):
    defaults = {"references": [Image(data=b"jpeg"), Image(pixels=to_pixels(frames(9, (5, 4, 3))))], "videos": [clip()]}
    return GroupRequest(**{**defaults, **fields})


def body(tensors, fields, metadata=None):
    """A body by hand: tensors is name -> (dtype, shape, (start, end)) or an array."""
    header, data = {}, b""
    for name, tensor in tensors.items():
        entry = tensor
        if isinstance(tensor, np.ndarray):
            start, data = len(data), data + tensor.tobytes()
            entry = ("U8", list(tensor.shape), [start, len(data)])
        header[name] = dict(zip(("dtype", "shape", "data_offsets"), entry, strict=True))
    header["__metadata__"] = {"request": json.dumps(fields)} if metadata is None else metadata
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


VIDEO = frames(1, (2, 4, 6, 3))
PHOTO = frames(2, (4, 4, 3))
GOOD = {"video.0": VIDEO, "reference.0": PHOTO}
ONE = {"videos": [{"fps": 8}]}


@given(
    shapes=st.lists(st.tuples(*[st.integers(1, 5)] * 3), min_size=1, max_size=4),
    fps=st.floats(1, 120) | st.none(),
    prompt=st.text(max_size=20) | st.none(),
    stored=st.booleans(),
)
def test_round_trip_keeps_every_field_and_safetensors_reads_it(shapes, fps, prompt, stored):
    clips = [clip(i, (*shape, 3), fps=fps, num_source_frames=9, frame_indices=[0]) for i, shape in enumerate(shapes)]
    group_request = request(videos=clips, prompt=prompt, matrices=True, theta=3, model="tiny", details=True)
    if stored:
        group_request.references = SET_ID
    encoded = raw_body.encode(group_request)
    assert raw_body.decode(encoded).model_dump() == group_request.model_dump()
    tensors = safetensors.numpy.load(encoded)
    assert len(tensors) == len(shapes) + (0 if stored else 2)
    for i, video in enumerate(clips):
        np.testing.assert_array_equal(tensors[f"video.{i}"], from_pixels(video.frames))
    if not stored:
        assert tensors["reference.0"].tobytes() == b"jpeg"


def test_decode_reads_what_safetensors_writes():
    fields = {"videos": [{"fps": 8.0, "num_source_frames": 33, "frame_indices": [0, 32]}], "prompt": "two people"}
    written = safetensors.numpy.save(GOOD, metadata={"request": json.dumps(fields)})
    read = raw_body.decode(written)
    np.testing.assert_array_equal(from_pixels(read.videos[0].frames), VIDEO)
    np.testing.assert_array_equal(from_pixels(read.references[0].pixels), PHOTO)
    assert (read.prompt, read.videos[0].num_source_frames, read.videos[0].frame_indices) == ("two people", 33, [0, 32])


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview], ids=lambda kind: kind.__name__)
def test_decoded_pixels_are_read_only_views_into_the_body(kind):
    encoded = kind(raw_body.encode(request()))
    whole = np.frombuffer(encoded, dtype=np.uint8)
    read = raw_body.decode(encoded)
    for array in (from_pixels(read.videos[0].frames), from_pixels(read.references[1].pixels)):
        assert np.shares_memory(array, whole)
        assert not array.flags.writeable
    assert np.shares_memory(np.frombuffer(read.references[0].data, dtype=np.uint8), whole)


def test_encode_refuses_files_and_says_where_to_send_them():
    group_request = request(videos=[clip(), Video(data=b"mp4")])
    assert not raw_body.can_encode(group_request)
    with pytest.raises(InvalidRequest, match="/v1/groups"):
        raw_body.encode(group_request)


def test_encode_refuses_an_fps_of_nan():
    with pytest.raises(InvalidRequest, match="finite"):
        raw_body.encode(request(videos=[clip(fps=float("nan"))]))


HOSTILE = {
    "empty": (b"", "too few"),
    "not safetensors": (b"GIF89a" + b"\0" * 40, "safetensors"),
    "header longer than the body": (struct.pack("<Q", 1000) + b"{}", "1000 bytes, only 2"),
    "huge header": (struct.pack("<Q", 2**63) + b"{}", "over"),
    "header isn't JSON": (struct.pack("<Q", 2) + b"{]", "JSON"),
    "header isn't UTF-8": (struct.pack("<Q", 4) + b'"\xff\xff"', "JSON"),
    "header isn't an object": (struct.pack("<Q", 2) + b"[]", "object"),
    "header nested deeply": (struct.pack("<Q", 400_000) + b"[" * 400_000, "nested"),
    "key twice": (struct.pack("<Q", 13) + b'{"a":1,"a":2}', "twice"),
    "no metadata": (body(GOOD, {}, metadata={}), "exactly one key"),
    "metadata isn't text": (body(GOOD, {}, metadata={"request": {}}), "JSON text"),
    "extra metadata": (body(GOOD, {}, metadata={"request": "{}", "x": "y"}), "exactly one key"),
    "unknown field": (body(GOOD, {**ONE, "nonsense": 1}), "nonsense"),
    "unknown video field": (body(GOOD, {"videos": [{"fps": 8, "data": "aGk="}]}), "data"),
    "no videos": (body(GOOD, {}), "request.videos"),
    "videos is empty": (body({"reference.0": PHOTO}, {"videos": []}), "request.videos"),
    "video isn't an object": (body(GOOD, {"videos": [8]}), "request.videos"),
    "missing video": (body(GOOD, {"videos": [{"fps": 8}] * 2}), "'video.1' is missing"),
    "extra video": (body({**GOOD, "video.1": VIDEO}, ONE), "unexpected tensors 'video.1'"),
    "extra tensor": (body({**GOOD, "weights": VIDEO}, ONE), "unexpected tensors 'weights'"),
    "gap in references": (body({**GOOD, "reference.2": PHOTO}, ONE), "unexpected tensors 'reference.2'"),
    "no references": (body({"video.0": VIDEO}, ONE), "no references"),
    "set and pictures": (body(GOOD, {**ONE, "references": SET_ID}), "unexpected tensors 'reference.0'"),
    "pictures in JSON": (body({"video.0": VIDEO}, {**ONE, "references": [{"data": ""}]}), "stored set"),
    "malformed set": (body({"video.0": VIDEO}, {**ONE, "references": "sha256:1"}), "references"),
    "wrong dtype": (body({**GOOD, "video.0": ("F32", [1, 2, 2, 3], [0, 48])}, ONE), "dtype 'F32'"),
    "wrong rank": (body({**GOOD, "video.0": VIDEO[0]}, ONE), r"must be \[T, H, W, 3\]"),
    "wrong channels": (body({**GOOD, "reference.0": VIDEO[0, :, :, :2].copy()}, ONE), r"must be \[H, W, 3\]"),
    "zero size": (body({**GOOD, "video.1": ("U8", [0, 2, 2, 3], [0, 0])}, ONE), "positive sizes"),
    "negative size": (body({**GOOD, "video.1": ("U8", [-1, 2, 2, 3], [0, 12])}, ONE), "positive sizes"),
    "size isn't an integer": (body({**GOOD, "video.1": ("U8", [True, 2, 2, 3], [0, 12])}, ONE), "positive sizes"),
    "offsets past the end": (body({"video.0": ("U8", [1, 2, 2, 3], [0, 12])}, ONE), "inside the 0"),
    "offsets reversed": (body({**GOOD, "video.1": ("U8", [1, 1, 1, 3], [3, 0])}, ONE), "needs 3 bytes"),
    "negative offsets": (body({**GOOD, "video.1": ("U8", [1, 1, 1, 3], [-3, 0])}, ONE), "non-negative"),
    "offsets lie about the shape": (body({**GOOD, "video.1": ("U8", [9, 9, 9, 3], [0, 12])}, ONE), "needs 2187"),
    "overlap": (body({**GOOD, "video.1": ("U8", [1, 2, 2, 3], [0, 12])}, ONE), "overlap"),
    "trailing bytes": (body(GOOD, ONE) + b"x", "cover"),
    "missing keys": (struct.pack("<Q", 46) + b'{"video.0":{},"__metadata__":{"request":"{}"}}', "exactly dtype"),
    "fps isn't finite": (body(GOOD, {}, metadata={"request": '{"videos": [{"fps": 1e999}]}'}), "finite"),
    "fps is NaN": (body(GOOD, {}, metadata={"request": '{"videos": [{"fps": NaN}]}'}), "finite"),
    "fps is text": (body(GOOD, {"videos": [{"fps": "fast"}]}), "fps"),
    "indices without a count": (body(GOOD, {"videos": [{"fps": 8, "frame_indices": [0, 1]}]}), "go together"),
    "theta too small": (body(GOOD, {**ONE, "theta": 0.5}), "theta"),
}


@pytest.mark.parametrize(("hostile", "message"), HOSTILE.values(), ids=HOSTILE)
def test_decode_refuses_and_says_why(hostile, message):
    with pytest.raises(InvalidRequest, match=message):
        raw_body.decode(hostile)


def test_error_messages_have_no_input_values():
    secret = "anna-at-home"
    with pytest.raises(InvalidRequest) as caught:
        raw_body.decode(body(GOOD, {"videos": [{"fps": secret}], "prompt": 5}))
    assert secret not in str(caught.value)


@given(data=st.data())
def test_damaged_body_is_an_invalid_request_or_still_valid(data):
    damaged = bytearray(raw_body.encode(request()))
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, min(len(damaged) - 1, 700)))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(damaged)) | st.just(len(damaged)))
    try:
        read = raw_body.decode(bytes(damaged[:cut]))
    except InvalidRequest:
        return
    assert len(read.videos) == 1


@given(st.binary(max_size=200))
def test_any_bytes_are_an_invalid_request(noise):
    with pytest.raises(InvalidRequest):
        raw_body.decode(noise)
