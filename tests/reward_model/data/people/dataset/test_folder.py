import pytest

from reward_model.data.people.dataset.folder import COMPLETE_LOG, DataFolder
from reward_model.data.people.scenarios.options import PeopleError, PeopleOptions
from reward_model.data.records import PreferencePair, read_pairs

OPTIONS = PeopleOptions(4, 0)


def pair(name):
    return PreferencePair.model_validate(
        {
            "pair_id": name,
            "prompt": "One person.",
            "references": [{"path": "a.png", "person": "anna"}],
            "video_a": "a.mp4",
            "video_b": "b.mp4",
            "votes": {"A": 3},
            "source": "construction",
            "split": "train",
        }
    )


def test_complete_scenarios_survive_reopening_and_are_written_in_order(tmp_path):
    folder = DataFolder(tmp_path, OPTIONS)
    folder.add(1, [pair("1")])
    folder.add(0, [pair("0"), pair("0b")])
    folder.close()
    folder = DataFolder(tmp_path, OPTIONS)
    assert sorted(folder.complete) == [0, 1]
    assert folder.finish(max_pairs=2) == {"train": 2}
    folder.close()
    assert [record.pair_id for record in read_pairs(tmp_path / "train.jsonl")] == ["0", "0b"]


def test_truncated_last_line_is_removed(tmp_path):
    folder = DataFolder(tmp_path, OPTIONS)
    folder.add(0, [pair("0")])
    folder.close()
    log = tmp_path / COMPLETE_LOG
    complete = log.read_bytes()
    log.write_bytes(complete + b'{"scenario": 1, "pai')
    folder = DataFolder(tmp_path, OPTIONS)
    folder.close()
    assert sorted(folder.complete) == [0]
    assert log.read_bytes() == complete


def test_folder_is_locked_by_one_run(tmp_path):
    folder = DataFolder(tmp_path, OPTIONS)
    with pytest.raises(PeopleError, match="another run writes there"):
        DataFolder(tmp_path, OPTIONS)
    folder.close()
    DataFolder(tmp_path, OPTIONS).close()


def test_folder_of_clips_without_options_is_refused(tmp_path):
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips/a.mp4").touch()
    with pytest.raises(PeopleError, match=r"has clips but no world\.json"):
        DataFolder(tmp_path, OPTIONS)
