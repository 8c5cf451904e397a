import numpy as np
import pytest
from PIL import Image

from reward_model.data.packed_clip import read_packed
from reward_model.data.people.dataset.media import Mp4Writer, PackedWriter, write_bytes, write_png
from reward_model.data.people.scenarios.options import PackedOptions, PeopleError
from reward_model.data.people.scenarios.scenario import ClipSize
from reward_model.data.people.scenarios.sources import RenderableClip
from reward_model.decoding.decoders import probe

SIZE = ClipSize(num_frames=9, width=84, height=48)
CLIP = RenderableClip(
    "clip", {}, frozenset(), 23, lambda indices: np.stack([np.full((48, 84, 3), 20 * i, np.uint8) for i in indices])
)


def test_mp4_contains_all_frames(tmp_path):
    Mp4Writer(SIZE).write(tmp_path / "clip.mp4", CLIP)
    video = probe((tmp_path / "clip.mp4").read_bytes())
    assert (video.num_frames, video.width, video.height, video.fps) == (9, 84, 48, 16.0)


def test_packed_clip_contains_evenly_spaced_frames_of_the_requested_size(tmp_path):
    PackedWriter(SIZE, PackedOptions(3, 28, 56)).write(tmp_path / "clip.safetensors", CLIP)
    clip = read_packed(tmp_path / "clip.safetensors")
    assert clip.frames_THWC.shape == (3, 28, 56, 3)
    assert (clip.frame_indices, clip.num_source_frames) == ((0, 4, 8), 9)
    assert clip.frames_THWC.mean((1, 2, 3)) == pytest.approx([0, 80, 160], abs=6)


def test_packed_clip_of_a_named_sampling_has_its_frames(tmp_path):
    PackedWriter(SIZE, PackedOptions(sampling="identity-grpo")).write(tmp_path / "clip.safetensors", CLIP)
    assert read_packed(tmp_path / "clip.safetensors").num_source_frames == 9
    with pytest.raises(PeopleError, match="'none' is none of identity-grpo"):
        PackedWriter(SIZE, PackedOptions(sampling="none"))


def test_writing_leaves_only_the_named_file(tmp_path):
    write_bytes(tmp_path / "a.bin", b"data")
    write_png(tmp_path / "a.png", np.full((4, 5, 3), 7, np.uint8))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.bin", "a.png"]
    assert np.array(Image.open(tmp_path / "a.png")).shape == (4, 5, 3)
