import json

import pytest

from identity_reward_client.cli.manifest import read_manifest
from identity_reward_client.errors import InvalidRequest

GOOD = {"references": ["a.jpg"], "video": "one.mp4"}


def write(tmp_path, *lines):
    path = tmp_path / "manifest.jsonl"
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines))
    return path


def test_paths_are_relative_to_the_manifest_and_blank_lines_are_skipped(tmp_path):
    items = read_manifest(write(tmp_path, GOOD, "", {**GOOD, "id": 7, "video": "/abs/two.mp4", "fps": 8}, "  "))
    assert [str(item.video) for item in items] == [str(tmp_path / "one.mp4"), "/abs/two.mp4"]
    assert items[0].references == [tmp_path / "a.jpg"]
    assert items[1].id == "7"


def test_fps_is_a_number_or_compat(tmp_path):
    items = read_manifest(write(tmp_path, {**GOOD, "fps": 8}, {**GOOD, "fps": "compat"}))
    assert [item.line.fps for item in items] == [8, "compat"]
    assert items[0].id != items[1].id


def test_item_without_an_id_has_a_hash_of_its_content(tmp_path):
    (first,) = read_manifest(write(tmp_path, GOOD))
    (again,) = read_manifest(write(tmp_path, {"video": "one.mp4", "references": ["a.jpg"]}))
    (other,) = read_manifest(write(tmp_path, {**GOOD, "prompt": "x"}))
    assert first.id == again.id != other.id


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("5", "JSON object"),
        ({"video": "x"}, "references"),
        ({"references": [], "video": "x"}, "references"),
        ({"references": "a.jpg", "video": "x"}, "references"),
        ({**GOOD, "video": ""}, "video"),
        ({**GOOD, "vidoe": "x"}, "vidoe"),
        ({**GOOD, "fps": 0}, "fps"),
        ({**GOOD, "fps": "fast"}, "fps"),
        ('{"references": ["a"], "video": "x", "fps": NaN}', "fps"),
        ({**GOOD, "id": ""}, "id"),
    ],
    ids=str,
)
def test_bad_line_is_named_by_its_number(tmp_path, line, message):
    with pytest.raises(InvalidRequest, match=rf"line 3: .*{message}"):
        read_manifest(write(tmp_path, GOOD, "", line))


def test_first_bad_lines_are_named_and_the_others_counted(tmp_path):
    with pytest.raises(InvalidRequest, match=r"line 1: .*line 2: .*line 5: .*and 4 more"):
        read_manifest(write(tmp_path, *["5"] * 9))


@pytest.mark.parametrize("name", [{"id": "x"}, {}], ids=["same id", "same content"])
def test_repeated_item_is_refused(tmp_path, name):
    with pytest.raises(InvalidRequest, match=r"line 2: the same .* as line 1"):
        read_manifest(write(tmp_path, {**GOOD, **name}, {**GOOD, **name}))


def test_missing_empty_and_binary_manifests_are_refused(tmp_path):
    with pytest.raises(InvalidRequest, match="no manifest"):
        read_manifest(tmp_path / "gone.jsonl")
    with pytest.raises(InvalidRequest, match="no items"):
        read_manifest(write(tmp_path, "", " "))
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InvalidRequest, match="UTF-8"):
        read_manifest(tmp_path / "binary")
