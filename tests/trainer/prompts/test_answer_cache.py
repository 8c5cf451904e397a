import json

import pytest

from reward_model.training.errors import TrainingError
from trainer.prompts import Prompt
from trainer.prompts.answer_cache import AnswerCache, content_key


@pytest.fixture
def path(tmp_path):
    return tmp_path / "new" / "answers.jsonl"


@pytest.fixture
def opened():
    """Opens caches, and closes them at the end."""
    caches = []

    def start(path):
        caches.append(AnswerCache(path))
        return caches[-1]

    yield start
    for cache in caches:
        cache.close()


def write(path, *answers):
    cache = AnswerCache(path)
    for key, answer in answers:
        cache.put(key, answer)
    cache.close()


def test_answers_are_there_in_the_next_run(path, opened):
    write(path, ("a", "one\n“é”"))
    write(path, ("b", "two"), ("a", "three"))
    cache = opened(path)
    assert [cache.get(key) for key in "abc"] == ["three", "two", None]


def test_a_line_that_a_kill_cut_short_costs_that_line_only(path, opened):
    write(path, ("a", "one"), ("b", "two"))
    whole = path.read_bytes()
    first_line = whole.index(b"\n") + 1
    for length in range(first_line, len(whole)):
        path.write_bytes(whole[:length])
        write(path, ("c", "three"))
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        assert [line["key"] for line in lines] == ["a", "c"]


@pytest.mark.parametrize("text", ["my notes", "my notes\n", '{"id": "a"}\n', '{"key": "a", "answer": 1}\n', "[1]\n"])
def test_another_file_is_refused_and_stays_as_it_is(path, text):
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(TrainingError, match=r"answers.jsonl:1: no answer of a model"):
        AnswerCache(path)
    assert path.read_text() == text


def test_two_runs_on_one_file_are_refused(path, opened):
    opened(path)
    with pytest.raises(TrainingError, match="another run is writing"):
        AnswerCache(path)


def test_a_key_is_that_of_the_content(tmp_path):
    def key(row="a", text="They walk.", hashes=("1", "2"), model="qwen"):
        return content_key(Prompt(row, text, (tmp_path / row,)), list(hashes), model)

    assert key("a") == key("b")
    others = [key(text="They sit."), key(hashes=("2", "1")), key(hashes=("1",)), key(model="other")]
    assert len({key(), *others}) == 5
