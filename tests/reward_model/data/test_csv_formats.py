import csv

import pytest

from reward_model.data.csv_formats import read_csv, write_csv
from reward_model.data.records import RecordError, read_pairs, write_pairs

VIDEOALIGN = """\
path_A,path_B,prompt,VQ,MQ,SA,ref_paths,fps_A,num_frames_A,fps_B,num_frames_B
./v/1.mp4,./v/2.mp4,"Two people, in a park.",A,same,B,refs/a.png;refs/b.png,16.0,33.0,16.0,33.0
./v/3.mp4,./v/4.mp4,One person.,B,A,same,refs/c.png,16.0,33.0,8.0,17.0
./v/5.mp4,./v/6.mp4,One person.,B,invalid,invalid,refs/c.png,,,,
"""
REWARD_BENCH = """\
path_A,A_model,path_B,B_model,prompt,Overall,ref_paths
1.mp4,vace,2.mp4,phantom,One person.,A,refs/c.png
3.mp4,vace,4.mp4,phantom,One person.,B,refs/c.png
"""


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(("text", "label"), [(VIDEOALIGN, "SA"), (VIDEOALIGN, "MQ"), (REWARD_BENCH, "Overall")])
def test_csv_round_trips_through_records(tmp_path, text, label):
    source, jsonl = tmp_path / "a.csv", tmp_path / "a.jsonl"
    back = tmp_path / "back" / tmp_path.name / "a.csv"
    back.parent.mkdir(parents=True)
    source.write_text(text)
    pairs = read_csv(source, label)
    write_pairs(jsonl, pairs)
    assert read_pairs(jsonl) == pairs
    write_csv(back, read_pairs(jsonl), label)
    assert rows(back) == rows(source)
    assert read_csv(back, label) == pairs


def test_labels_rates_and_references_are_read(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(VIDEOALIGN)
    pairs = read_csv(path, split="test", source="vlm", licence="MIT")
    folder = f"{tmp_path.name}/refs"
    assert [pair.pair_id for pair in pairs] == ["a-1", "a-2", "a-3"]
    assert [pair.label for pair in pairs] == ["B", "tie", None]
    assert [pair.fps for pair in pairs] == [16.0, None, None]  # two rates are not one rate of the pair
    assert [pair.persons for pair in pairs] == [(f"{folder}/a.png", f"{folder}/b.png"), *2 * [(f"{folder}/c.png",)]]
    assert {(pair.split, pair.source, pair.licence) for pair in pairs} == {("test", "vlm", "MIT")}
    assert [pair.label for pair in read_csv(path, "VQ")] == ["A", "B", "B"]


@pytest.mark.parametrize(
    ("text", "label", "message"),
    [
        (VIDEOALIGN, "TA", "no column TA; it has path_A"),
        (VIDEOALIGN.replace(",ref_paths", ",refs"), "SA", "no column ref_paths; .* add a column ref_paths"),
        (VIDEOALIGN.replace("16.0,33.0,8.0", "fast,33.0,8.0"), "SA", "row 2: fps_A is 'fast'"),
        (VIDEOALIGN.replace("refs/a.png;refs/b.png", " ; "), "SA", "row 1: references"),
        (VIDEOALIGN.replace(',"Two people, in a park."', ",Two people, in a park."), "SA", "row 1: .*commas"),
        (VIDEOALIGN.replace("./v/1.mp4", ""), "SA", "row 1: video_a"),
    ],
)
def test_other_csv_is_refused_with_the_reason(tmp_path, text, label, message):
    path = tmp_path / "a.csv"
    path.write_text(text)
    with pytest.raises(RecordError, match=message):
        read_csv(path, label)


def test_same_relative_names_in_two_folders_are_different_people(tmp_path):
    """An image that both folders share is one person."""
    pairs = {}
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        path = tmp_path / folder / f"{folder}.csv"
        path.write_text(VIDEOALIGN.replace("refs/b.png", "../shared/b.png"))
        pairs[folder] = read_csv(path)[0]
    assert {name: pair.persons for name, pair in pairs.items()} == {
        name: (f"{name}/refs/a.png", "shared/b.png") for name in pairs
    }
    assert pairs["x"].pair_id != pairs["y"].pair_id


def test_missing_file_is_refused(tmp_path):
    with pytest.raises(RecordError, match="no such file"):
        read_csv(tmp_path / "none.csv")
