import json

import pytest

from reward_model.training.errors import TrainingError
from trainer.prompts import read_prompts


@pytest.fixture
def folder(tmp_path):
    for name in ("anna.jpg", "ben.jpg"):
        (tmp_path / name).write_bytes(b"an image")
    return tmp_path


def jsonl(folder, *rows):
    path = folder / "prompts.jsonl"
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows))
    return path


def row(key="a", prompt="Two people wave.", references=("anna.jpg", "ben.jpg")):
    return {"id": key, "prompt": prompt, "references": list(references)}


def test_jsonl_has_paths_beside_the_file_and_keeps_its_order(folder):
    first, second = read_prompts(jsonl(folder, row("b"), "", row("a", " One waves. ", ["ben.jpg"])))
    assert (first.key, first.references) == ("b", (folder / "anna.jpg", folder / "ben.jpg"))
    assert (second.key, second.text, second.references) == ("a", "One waves.", (folder / "ben.jpg",))


def test_csv_of_the_release_is_read(folder):
    path = folder / "train.csv"
    path.write_text('\ufeffref_paths,prompt\nanna.jpg;ben.jpg,"They wave, then sit."\nanna.jpg,She sits.\n')
    first, second = read_prompts(path)
    assert (first.key, first.text) == ("train-1", "They wave, then sit.")
    assert first.references == (folder / "anna.jpg", folder / "ben.jpg")
    assert second.key == "train-2"


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([row(), row("b", "  ")], "prompts.jsonl:2: the prompt is empty"),
        ([row(references=[])], "prompts.jsonl:1: the prompt has no references"),
        ([row(references=["carl.jpg"])], "carl.jpg is no file"),
        ([row(), row()], "prompts.jsonl:2: the id 'a' occurs twice"),
        (["{"], "prompts.jsonl:1: no JSON"),
        (["[1]"], "prompts.jsonl:1: a prompt has the fields id, prompt and references; got list"),
        ([{"id": "a", "text": "x"}], "got id, text"),
        ([{**row(), "id": 3}], "id and prompt are texts"),
        ([{**row(), "references": "anna.jpg"}], "references are a list of paths"),
        ([], "there are no prompts in it"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(folder, rows, message):
    with pytest.raises(TrainingError, match=message):
        read_prompts(jsonl(folder, *rows))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("prompt,path\nx,y\n", "no column ref_paths"),
        ("ref_paths,prompt\nanna.jpg,She waves, and sits.\n", "train.csv:2: the header has another number of columns"),
        ("ref_paths,prompt\n;,She waves.\n", "train.csv:2: the prompt has no references"),
    ],
)
def test_wrong_csv_is_named_with_its_line(folder, text, message):
    (folder / "train.csv").write_text(text)
    with pytest.raises(TrainingError, match=message):
        read_prompts(folder / "train.csv")


def test_a_file_that_is_not_there_is_one_line(tmp_path):
    with pytest.raises(TrainingError, match=r"none.csv: the prompts can't be read: .*No such file"):
        read_prompts(tmp_path / "none.csv")
