import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from identity_reward_client.preference import Preference
from reward_model.data.packed_clip import write_packed
from reward_model.data.records import write_pairs
from reward_model.decoding.decoders import decode_frames, probe
from reward_model.faces.frame_sampling import FACE_TRACKS
from reward_model.training.configs.face_tracks import TrackPairs
from reward_model.training.errors import TrainingError
from reward_model.training.face_tracks.extract import clips_of, extract, in_processes
from reward_model.training.face_tracks.task import train_face_tracks
from reward_model.types import Video
from tests.reward_model.training.helpers.face_tracks import RecordingProgress, record

EXAMPLES = Path(__file__).resolve().parents[4] / "examples"


def test_features_are_cached_and_damaged_cache_files_are_computed_again(trained, config, examples):
    jsonl = examples / "pairs.jsonl"
    pair = record("x", Preference.A, ("references/bea", "references/carl"),
                  ("clips/two_people.mp4", "clips/two_people_evening.mp4"))  # fmt: skip
    clips = clips_of(jsonl, pair)
    progress = RecordingProgress()
    first = extract(clips, Path(config.cache), 1, progress)
    assert progress.work == {}
    files = sorted(Path(config.cache).rglob("*.safetensors"))
    assert len(files) == 5
    for path in files:
        path.write_bytes(path.read_bytes()[:50])
    again = extract(clips, Path(config.cache), 1, progress)
    assert progress.work == {"faces of clips": 2}
    for clip in clips:
        assert first[clip].frames_PTF.tobytes() == again[clip].frames_PTF.tobytes()


def test_worker_processes_ignore_sigint():
    assert [handler for _, handler in in_processes(signal.getsignal, [(signal.SIGINT,)], 1)] == [signal.SIG_IGN]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_death_of_a_worker_process_is_an_error():
    with pytest.raises(TrainingError, match="a process that reads clips died, of 2"):
        list(in_processes(os._exit, [(9,)], 2))


def test_packed_clip_requires_the_sampled_frames(tmp_path, config):
    (tmp_path / "a.jpg").write_bytes((EXAMPLES / "references/anna.jpg").read_bytes())
    data = (EXAMPLES / "clips/one_person.mp4").read_bytes()
    info = probe(data)

    def pack(name: str, indices: tuple[int, ...]) -> None:
        frames = decode_frames(data, indices)
        write_packed(tmp_path / name, Video(frames, info.fps, info.num_frames, indices))

    sampled = FACE_TRACKS.indices(info.num_frames, info.fps)
    pack("a.safetensors", sampled)
    pack("b.safetensors", sampled[::2])
    pair = record("0", Preference.A, videos=("a.safetensors", "a.safetensors"))
    packed = clips_of(tmp_path / "pairs.jsonl", pair)[0]
    features = extract([packed], tmp_path / "cache", 1, RecordingProgress())
    source = replace(packed, video=EXAMPLES / "clips/one_person.mp4")
    from_source = extract([source], tmp_path / "cache", 1, RecordingProgress())
    assert features[packed].frames_PTF.tobytes() == from_source[source].frames_PTF.tobytes()
    write_pairs(tmp_path / "pairs.jsonl", [record("0", Preference.A, videos=("a.safetensors", "b.safetensors"))])
    wrong = config.model_copy(update={"train": (TrackPairs(path=str(tmp_path / "pairs.jsonl")),)})
    recorded = RecordingProgress()
    with pytest.raises(TrainingError, match=r"b\.safetensors is a packed clip without .* --packed-frames 16 "):
        train_face_tracks(wrong, tmp_path / "run", progress=recorded)
    assert recorded.work == {}


def test_error_of_an_unreadable_video_names_the_file(tmp_path, config):
    (tmp_path / "a.jpg").write_bytes((EXAMPLES / "references/anna.jpg").read_bytes())
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / name).write_bytes(b"no video")
    write_pairs(tmp_path / "pairs.jsonl", [record("0", Preference.A)])
    wrong = config.model_copy(update={"train": (TrackPairs(path=str(tmp_path / "pairs.jsonl")),), "workers": 1})
    with pytest.raises(TrainingError, match=r"[ab]\.mp4: .*mend it, or remove its pairs"):
        train_face_tracks(wrong, tmp_path / "run", progress=RecordingProgress())
