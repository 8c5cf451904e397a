import csv

import pytest
from typer.testing import CliRunner

from reward_model.data.cli import app
from reward_model.data.csv_formats import read_csv, write_csv
from reward_model.data.records import RecordError, read_pairs, resolve, write_pairs

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
def test_round_trip_by_way_of_records(tmp_path, text, label):
    source, between = tmp_path / "a.csv", tmp_path / "a.jsonl"
    back = tmp_path / "back" / tmp_path.name / "a.csv"
    back.parent.mkdir(parents=True)
    source.write_text(text)
    pairs = read_csv(source, label)
    write_pairs(between, pairs)
    assert read_pairs(between) == pairs
    write_csv(back, read_pairs(between), label)
    assert rows(back) == rows(source)
    assert read_csv(back, label) == pairs


def test_labels_rates_and_references(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(VIDEOALIGN)
    pairs = read_csv(path, split="test", source="vlm", licence="MIT")
    here = f"{tmp_path.name}/refs"
    assert [pair.pair_id for pair in pairs] == ["a-1", "a-2", "a-3"]
    assert [pair.label for pair in pairs] == ["B", "tie", None]
    assert [pair.fps for pair in pairs] == [16.0, None, None]  # two rates are no rate of the pair
    assert [pair.persons for pair in pairs] == [(f"{here}/a.png", f"{here}/b.png"), *2 * [(f"{here}/c.png",)]]
    assert {(pair.split, pair.source, pair.licence) for pair in pairs} == {("test", "vlm", "MIT")}
    assert [pair.label for pair in read_csv(path, "VQ")] == ["A", "B", "B"]


@pytest.mark.parametrize(
    ("text", "label", "said"),
    [
        (VIDEOALIGN, "TA", "no column TA; it has path_A"),
        (VIDEOALIGN.replace(",ref_paths", ",refs"), "SA", "no column ref_paths; .* add a column ref_paths"),
        (VIDEOALIGN.replace("16.0,33.0,8.0", "fast,33.0,8.0"), "SA", "row 2: fps_A is 'fast'"),
        (VIDEOALIGN.replace("refs/a.png;refs/b.png", " ; "), "SA", "row 1: references"),
        (VIDEOALIGN.replace(',"Two people, in a park."', ",Two people, in a park."), "SA", "row 1: .*commas"),
        (VIDEOALIGN.replace("./v/1.mp4", ""), "SA", "row 1: video_a"),
    ],
)
def test_what_is_no_csv_of_pairs(tmp_path, text, label, said):
    path = tmp_path / "a.csv"
    path.write_text(text)
    with pytest.raises(RecordError, match=said):
        read_csv(path, label)


def test_persons_and_ids_of_two_folders(tmp_path):
    """The same relative names are other people; a picture that both folders share is one person."""
    found = {}
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        path = tmp_path / folder / f"{folder}.csv"
        path.write_text(VIDEOALIGN.replace("refs/b.png", "../shared/b.png"))
        found[folder] = read_csv(path)[0]
    assert {name: pair.persons for name, pair in found.items()} == {
        name: (f"{name}/refs/a.png", "shared/b.png") for name in found
    }
    assert found["x"].pair_id != found["y"].pair_id


def test_missing_file(tmp_path):
    with pytest.raises(RecordError, match="no such file"):
        read_csv(tmp_path / "none.csv")


def convert(*arguments):
    return CliRunner().invoke(app, ["convert", *map(str, arguments)])


def test_the_command_leads_to_the_same_files(tmp_path):
    source, between, back = tmp_path / "a/a.csv", tmp_path / "b/c/a.jsonl", tmp_path / "a/b.csv"
    source.parent.mkdir()
    source.write_text(VIDEOALIGN)
    result = convert(source, "--out", between, "--licence", "CC0-1.0")
    assert result.exit_code == 0, result.output
    assert result.output == f"{between}: 3 pairs, 1 without a label\n"
    pairs = read_pairs(between)
    assert resolve(between, pairs[0].video_a).resolve() == tmp_path / "a/v/1.mp4"
    assert resolve(between, pairs[0].references[1].path).resolve() == tmp_path / "a/refs/b.png"
    assert {(pair.licence, pair.split, pair.source) for pair in pairs} == {("CC0-1.0", "train", "human")}
    assert convert(between, "--out", back).exit_code == 0
    assert [row["SA"] for row in rows(back)] == ["B", "same", "invalid"]
    assert rows(back)[0]["path_A"] == "v/1.mp4"


def test_what_the_command_refuses(tmp_path):
    source = tmp_path / "a.csv"
    source.write_text(REWARD_BENCH)
    assert "one of them is a .csv and the other a .jsonl" in convert(source, "--out", tmp_path / "b.csv").output
    no_label = convert(source, "--out", tmp_path / "b.jsonl")
    assert (no_label.exit_code, "no column SA" in no_label.output) == (2, True)
    (tmp_path / "b.jsonl").touch()
    taken = convert(source, "--out", tmp_path / "b.jsonl", "--label", "Overall")
    assert (taken.exit_code, "exists already" in taken.output) == (2, True)
    assert convert(tmp_path / "gone.jsonl", "--out", tmp_path / "c.csv").exit_code == 2
