import json
import shutil

import pytest

from reward_model.training.errors import TrainingError
from trainer.prompts import Prompt, read_prompts
from trainer.prompts.output import PromptOutput
from trainer.prompts.rewriting import Rewritten


@pytest.fixture
def rows(tmp_path, portraits):
    shutil.copytree(portraits, tmp_path / "images")
    image = tmp_path / "images/anna.jpg"
    return [Prompt(key, f"{key} walks.", (image,)) for key in "abc"]


def result_of(rows, *failed):
    result = Rewritten()
    for row in reversed(rows):  # answers come in any order
        if row.key in failed:
            result.fail([row], "people", "one is missing", "the answer")
        else:
            result.texts[row.key] = f"new {row.key}"
    return result


def test_a_training_reads_the_prompts_in_the_order_of_the_data(tmp_path, rows):
    out = tmp_path / "new/train.jsonl"
    out.parent.mkdir()
    PromptOutput(out, tmp_path / "data.csv").write(rows, result_of(rows, "b"))
    prompts = read_prompts(out)
    assert [(prompt.key, prompt.text) for prompt in prompts] == [("a", "new a"), ("c", "new c")]
    assert prompts[0].references[0].samefile(rows[0].references[0])
    assert json.loads(out.read_text().splitlines()[0])["references"] == ["../images/anna.jpg"]


def test_paths_are_right_in_a_folder_behind_a_link(tmp_path, rows):
    (tmp_path / "deep/er").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "deep/er")
    PromptOutput(out := tmp_path / "link/train.jsonl", tmp_path / "data.csv").write(rows, result_of(rows))
    assert read_prompts(out)[0].references[0].samefile(rows[0].references[0])


def test_failed_rows_are_in_a_file_of_their_own_until_none_fails(tmp_path, rows):
    output = PromptOutput(tmp_path / "train.jsonl", tmp_path / "data.csv")
    output.write(rows, result_of(rows, "b"))
    [row] = [json.loads(line) for line in (tmp_path / "train.failed.jsonl").read_text().splitlines()]
    error = {"code": "people", "message": "one is missing", "answer": "the answer"}
    assert row == {"id": "b", "prompt": "b walks.", "references": ["images/anna.jpg"], "error": error}
    output.write(rows, result_of(rows))
    assert not (tmp_path / "train.failed.jsonl").exists()
    assert len(read_prompts(output.path)) == 3


def test_names_of_the_siblings(tmp_path):
    output = PromptOutput(tmp_path / "v1.2", tmp_path / "data.csv")
    assert (output.failed.name, output.cache.name) == ("v1.2.failed.jsonl", "v1.2.answers.jsonl")
    assert PromptOutput(tmp_path / "a.jsonl", tmp_path / "b", tmp_path / "c").cache == tmp_path / "c"


@pytest.mark.parametrize(
    ("out", "data", "cache", "message"),
    [
        ("new.csv", "data.csv", None, "written as JSONL"),
        ("data.jsonl", "data.jsonl", None, "four different files"),
        ("sub/../data.jsonl", "data.jsonl", None, "four different files"),
        ("new.jsonl", "new.failed.jsonl", None, "four different files"),
        ("new.jsonl", "data.jsonl", "data.jsonl", "four different files"),
    ],
)
def test_files_that_would_overwrite_each_other_are_refused(tmp_path, out, data, cache, message):
    with pytest.raises(TrainingError, match=message):
        PromptOutput(tmp_path / out, tmp_path / data, cache and tmp_path / cache)
