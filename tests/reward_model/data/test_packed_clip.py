import numpy as np
import pytest
from safetensors.numpy import save_file

from identity_reward_client.errors import InvalidMedia
from reward_model.data.packed_clip import read_packed, write_packed
from reward_model.types import Video

FRAMES = np.random.default_rng(0).integers(0, 256, (4, 28, 56, 3), dtype=np.uint8)
METADATA = {"fps": "16.0", "num_source_frames": "33", "frame_indices": "[0, 11, 21, 32]"}


def test_packed_clip_round_trips(tmp_path):
    path = tmp_path / "clip.safetensors"
    write_packed(path, Video(FRAMES[:, ::-1], 30000 / 1001, 33, (0, 11, 21, 32)))
    clip = read_packed(path)
    assert np.array_equal(clip.frames_THWC, FRAMES[:, ::-1])
    assert clip.frames_THWC.dtype == np.uint8
    assert (clip.fps, clip.num_source_frames, clip.frame_indices) == (30000 / 1001, 33, (0, 11, 21, 32))
    assert [p.name for p in tmp_path.iterdir()] == ["clip.safetensors"]


@pytest.mark.parametrize(
    ("tensors", "metadata", "message"),
    [
        ({"images": FRAMES}, METADATA, "holds the tensor 'frames'"),
        ({"frames": FRAMES.astype(np.float32)}, METADATA, "float32"),
        ({"frames": FRAMES[..., :1]}, METADATA, "uint8"),
        ({"frames": FRAMES}, {**METADATA, "fps": "0"}, "don't go together"),
        ({"frames": FRAMES}, {**METADATA, "fps": "fast"}, "states fps"),
        ({"frames": FRAMES}, {**METADATA, "frame_indices": "[0, 1]"}, "don't go together"),
        ({"frames": FRAMES}, {**METADATA, "frame_indices": "[0, 1, 2, 33]"}, "don't go together"),
        ({"frames": FRAMES}, {}, "states fps"),
    ],
)
def test_invalid_tensors_or_metadata_are_refused_with_the_reason(tmp_path, tensors, metadata, message):
    path = tmp_path / "clip.safetensors"
    save_file(tensors, path, metadata)
    with pytest.raises(InvalidMedia, match=message):
        read_packed(path)


def test_truncated_and_missing_files_are_refused(tmp_path):
    path = tmp_path / "clip.safetensors"
    write_packed(path, Video(FRAMES, 16.0, 33, (0, 11, 21, 32)))
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(InvalidMedia, match="no whole safetensors file"):
        read_packed(path)
    with pytest.raises(FileNotFoundError):
        read_packed(tmp_path / "none.safetensors")


@pytest.mark.parametrize("frames", [FRAMES[0], FRAMES.astype(float), FRAMES[:0], FRAMES[:3]])
def test_invalid_frames_are_not_written(tmp_path, frames):
    with pytest.raises(ValueError, match="frames"):
        write_packed(tmp_path / "clip.safetensors", Video(frames, 16.0, 33, (0, 11, 21, 32)))
    assert not list(tmp_path.iterdir())
