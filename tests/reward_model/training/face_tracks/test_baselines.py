from reward_model.data.records import read_pairs
from reward_model.faces.recognition.matching import VARIANTS
from reward_model.training.face_tracks.baselines import arcface_predictions
from tests.reward_model.training.helpers.face_tracks import RecordingProgress


def test_predictions_of_every_arcface_variant_are_cached(examples, tmp_path):
    jsonl = examples / "pairs.jsonl"
    pairs, progress = read_pairs(jsonl)[3:], RecordingProgress()
    first = arcface_predictions(jsonl, pairs, tmp_path, 1, progress)
    assert len(first) == len(VARIANTS)
    assert progress.work == {"arcface on clips": 2}
    # in the first clip another person appears later on
    assert all(predictions[0].difference < 0 for _, predictions in first)
    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.json")}
    assert len(times) == 2
    assert arcface_predictions(jsonl, pairs, tmp_path, 1, progress) == first
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.json")} == times
