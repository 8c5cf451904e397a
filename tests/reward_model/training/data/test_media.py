import numpy as np
import pytest

from identity_reward_client.errors import FrameIndexMismatch
from reward_model.data.packed_clip import write_packed
from reward_model.data.records import read_pairs, resolve
from reward_model.qwen.tiny import SAMPLING
from reward_model.training.data.media import read_video, select_frames
from reward_model.types import Video
from tests.reward_model.training.helpers.pairs import make_data
from tests.reward_model.training.helpers.runs import run


def test_read_video_samples_frames_and_rate_can_be_overridden(tmp_path, clip):
    path = tmp_path / "clip.mp4"
    path.write_bytes(clip(frames=30, fps=10))
    video = read_video(path, SAMPLING)
    assert (video.frames_THWC.shape, video.fps, video.frame_indices) == ((4, 240, 416, 3), 10, (0, 10, 19, 29))
    assert read_video(path, SAMPLING, fps=24.0).fps == 24


def test_select_frames_takes_the_sampled_frames_of_a_packed_clip():
    frames = np.arange(10, dtype=np.uint8)[:, None, None, None].repeat(3, 3)
    packed = Video(frames, 8.0, 10, tuple(range(10)))
    selected = select_frames(packed, SAMPLING, "clip")
    assert selected.frame_indices == (0, 3, 6, 9)
    assert selected.frames_THWC[:, 0, 0, 0].tolist() == [0, 3, 6, 9]
    short = Video(frames[:3], 8.0, 3, (0, 1, 2))
    # three frames, one of which is sampled twice
    assert select_frames(short, SAMPLING, "clip").frames_THWC[:, 0, 0, 0].tolist() == list(SAMPLING.indices(3, 8.0))
    with pytest.raises(FrameIndexMismatch, match="pack it with that sampling, or give the video file"):
        select_frames(Video(frames[:2], 8.0, 10, (0, 3)), SAMPLING, "clip")


def test_packed_clip_without_the_sampled_frames_is_refused(tmp_path):
    data = tmp_path / "data"
    jsonl = make_data(data, ["A", "B"])
    clip = resolve(jsonl, read_pairs(jsonl)[0].video_a)
    write_packed(clip, Video(np.zeros((3, 56, 56, 3), np.uint8), 8.0, 30, (0, 1, 2)))
    result = run(data, tmp_path / "run", batch=2)
    assert result.exit_code == 2
    assert "holds frames [0, 1, 2] of 30, and frame sampling tiny-uniform-4 looks at [0, 10, 19, 29]" in result.output


def test_missing_files_are_listed_before_the_run_folder_is_created(tmp_path):
    data = tmp_path / "data"
    jsonl = make_data(data, ["A", "B", "A"])
    missing = [resolve(jsonl, pair.video_a) for pair in read_pairs(jsonl)[:2]]
    for path in missing:
        path.unlink()
    result = run(data, tmp_path / "run")
    assert result.exit_code == 2
    assert "2 files that it names aren't there" in result.output
    assert all(str(path) in result.output for path in missing)
    assert not (tmp_path / "run").exists()
