"""`identity-reward data convert`; `check` is tested in test_check.py, `people` in people/dataset/test_generate.py."""

from typer.testing import CliRunner

from reward_model.data.cli import app
from reward_model.data.records import read_pairs, resolve
from tests.reward_model.data.test_csv_formats import REWARD_BENCH, VIDEOALIGN, rows


def convert(*arguments):
    return CliRunner().invoke(app, ["convert", *map(str, arguments)])


def test_converted_records_refer_to_the_same_files(tmp_path):
    source, jsonl, back = tmp_path / "a/a.csv", tmp_path / "b/c/a.jsonl", tmp_path / "a/b.csv"
    source.parent.mkdir()
    source.write_text(VIDEOALIGN)
    result = convert(source, "--out", jsonl, "--licence", "CC0-1.0")
    assert result.exit_code == 0, result.output
    assert result.output == f"{jsonl}: 3 pairs, 1 without a label\n"
    pairs = read_pairs(jsonl)
    assert resolve(jsonl, pairs[0].video_a).resolve() == tmp_path / "a/v/1.mp4"
    assert resolve(jsonl, pairs[0].references[1].path).resolve() == tmp_path / "a/refs/b.png"
    assert {(pair.licence, pair.split, pair.source) for pair in pairs} == {("CC0-1.0", "train", "human")}
    assert convert(jsonl, "--out", back).exit_code == 0
    assert [row["SA"] for row in rows(back)] == ["B", "same", "invalid"]
    assert rows(back)[0]["path_A"] == "v/1.mp4"


def test_unusable_conversions_are_refused_with_the_reason(tmp_path):
    source = tmp_path / "a.csv"
    source.write_text(REWARD_BENCH)
    assert "one of them is a .csv and the other a .jsonl" in convert(source, "--out", tmp_path / "b.csv").output
    result = convert(source, "--out", tmp_path / "b.jsonl")
    assert (result.exit_code, "no column SA" in result.output) == (2, True)
    (tmp_path / "b.jsonl").touch()
    result = convert(source, "--out", tmp_path / "b.jsonl", "--label", "Overall")
    assert (result.exit_code, "exists already" in result.output) == (2, True)
    assert convert(tmp_path / "gone.jsonl", "--out", tmp_path / "c.csv").exit_code == 2
