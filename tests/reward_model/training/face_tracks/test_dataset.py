from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from identity_reward_client.preference import Preference
from reward_model.data.records import RecordError, Votes, read_pairs, write_pairs
from reward_model.training.configs.face_tracks import FaceTracksConfig, TrackPairs
from reward_model.training.errors import TrainingError
from reward_model.training.face_tracks.dataset import load_splits, rotated_splits, split_by_people
from reward_model.training.face_tracks.ensemble import train_ensemble
from reward_model.training.face_tracks.task import train_face_tracks
from tests.reward_model.training.face_tracks.conftest import renamed
from tests.reward_model.training.helpers.face_tracks import SMALL, RecordingProgress, record, synthetic_dataset

EXAMPLES = Path(__file__).resolve().parents[4] / "examples"


def test_parts_of_a_split_share_no_cast():
    train, dev = split_by_people(synthetic_dataset(120, 3), 0.2, 0)
    assert len(train) + len(dev) == 120
    assert 12 <= len(dev) <= 36
    assert not {pair.cluster for pair in train.pairs} & {pair.cluster for pair in dev.pairs}


def test_excluded_pairs_are_counted_and_warned_about(tmp_path, examples, config, capsys):
    """Of five pairs, one has a reference without a face, one has no majority, and none has label B."""
    for name in ("clips", "references", "cache"):
        (tmp_path / name).symlink_to(examples / name)
    Image.new("RGB", (64, 64)).save(tmp_path / "a.jpg")
    usable = [pair for pair in read_pairs(examples / "pairs.jsonl") if pair.label != Preference.B]
    faceless = record("4", Preference.A, videos=(usable[0].video_a, usable[0].video_b))
    undecided = usable[0].model_copy(update={"pair_id": "5", "label": None, "votes": Votes(A=1, B=1, tie=1)})
    write_pairs(tmp_path / "train.jsonl", [*usable, faceless, undecided])
    one_epoch = config.model_copy(
        update={"train": (TrackPairs(path=str(tmp_path / "train.jsonl")),), "epochs": 1, "workers": 1}
    )
    splits = load_splits(one_epoch, RecordingProgress())
    warnings = capsys.readouterr().err
    assert "1 pairs without a majority are left out" in warnings
    assert "every decided pair says A" in warnings
    assert "1 of 3 pairs are left out: a reference of theirs shows no face" in warnings
    ensemble, _ = train_ensemble(one_epoch, splits, RecordingProgress())
    assert (ensemble.config.training["pairs"], ensemble.config.training["pairs_without_face"]) == ([2, 2], 1)


def test_split_keeps_the_count_of_pairs_without_a_face_in_the_training_part():
    train, dev = split_by_people(replace(synthetic_dataset(120, 3), num_without_face=7), 0.2, 0)
    assert (train.num_without_face, dev.num_without_face) == (7, 0)


def test_no_pair_with_a_face_in_every_reference_is_an_error(tmp_path, config):
    Image.new("RGB", (64, 64)).save(tmp_path / "a.jpg")
    (tmp_path / "a.mp4").write_bytes((EXAMPLES / "clips/one_person.mp4").read_bytes())
    write_pairs(tmp_path / "pairs.jsonl", [record("0", Preference.A, videos=("a.mp4", "a.mp4"))])
    wrong = config.model_copy(update={"train": (TrackPairs(path=str(tmp_path / "pairs.jsonl")),), "workers": 1})
    with pytest.raises(TrainingError, match="no pair whose references all show a face"):
        train_face_tracks(wrong, tmp_path / "run", progress=RecordingProgress())


@pytest.mark.parametrize(
    ("pairs", "error", "message"),
    [
        (None, RecordError, "no such file"),
        ([record("0", Preference.TIE)], TrainingError, "ties"),
        ([record("0", Preference.A, videos=("no.mp4", "a.mp4"))], TrainingError, "no.mp4"),
    ],
)
def test_unusable_pairs_are_refused_before_the_run_folder_is_created(tmp_path, config, pairs, error, message):
    for name in ("a.jpg", "a.mp4", "b.mp4"):
        (tmp_path / name).write_bytes(b"x")
    if pairs is not None:
        write_pairs(tmp_path / "pairs.jsonl", pairs)
    wrong = config.model_copy(update={"train": (TrackPairs(path=str(tmp_path / "pairs.jsonl")),)})
    with pytest.raises(error, match=message):
        train_face_tracks(wrong, tmp_path / "run", progress=RecordingProgress())
    assert not (tmp_path / "run").exists()


def test_rotated_splits_hold_every_person_out_of_one_member():
    base, people = synthetic_dataset(40, 5), synthetic_dataset(160, 6)
    others = replace(base, pairs=tuple(pair.model_copy(update={"references": renamed(pair)}) for pair in base.pairs))
    config = SMALL.model_copy(update={"members": 4})
    splits = rotated_splits(config, others, people)
    held_out = [{pair.persons[0] for pair in dev.pairs} for _, dev in splits]
    assert len(splits) == 4
    assert set().union(*held_out) == {pair.persons[0] for pair in people.pairs}
    assert sum(map(len, held_out)) == len(set().union(*held_out))
    for (train, dev), names in zip(splits, held_out, strict=True):
        assert not names & {pair.persons[0] for pair in train.pairs}
        assert len(train) + len(dev) == 200
    with pytest.raises(TrainingError, match="50 folds of 40 people"):
        rotated_splits(config.model_copy(update={"members": 50}), None, people)


@pytest.mark.parametrize("values", [{"stop_on": "b"}, {"stop_on": "a", "dev": ("c",)}])
def test_training_stops_on_a_file_that_it_learns_from_and_on_no_other(values):
    with pytest.raises(ValueError, match="stop_on"):
        FaceTracksConfig(train=(TrackPairs(path="a"),), **values)
    assert FaceTracksConfig(train=(TrackPairs(path="a"),), stop_on="a").stop_on == "a"
