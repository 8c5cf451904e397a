import base64
import json

import pytest

from identity_reward_client.errors import InvalidRequest
from identity_reward_client.messages import Image
from identity_reward_client.transports.jobs import encode_manifest
from identity_reward_client.wire.job_messages import JobItem
from tests.service.jobs.jobs import count, item, manifest, model_name


def test_a_line_may_name_the_references_of_an_earlier_one(open_store):
    lines = manifest(3).splitlines()
    assert b"sha256:" in lines[1]
    assert b"sha256:" not in lines[0]
    store = open_store()
    store.submit("anna", None, manifest(3), model_name)
    store.close()
    store = open_store()
    assert store.load(store.next_item([(1, 1)], "")).references == [Image(data=b"image")]
    elsewhere = "sha256:" + "0" * 64
    job = store.submit("ben", None, encode_manifest([item(0, references=elsewhere)]), model_name)
    assert store.load(store.next_item([], "anna")).references == elsewhere
    assert store.next_item([], "anna").job == store.job(job.id, None)


def test_missing_ids_are_line_numbers_and_blank_lines_are_skipped(store):
    row = b'{"references": [{"data": "AAAA"}], "video": {"data": "AAAA"}}'
    job = store.submit("anna", None, b"\xef\xbb\xbf" + row + b"\r\n\n" + row, model_name)
    assert job.total == 2
    assert [store.next_item(taken, "").id for taken in ([], [(job.number, 1)])] == ["1", "3"]


def test_raw_frames_links_and_ids_are_restored_unchanged(store):
    frames = {"shape": [1, 2, 2, 3], "data": base64.b64encode(bytes(range(12))).decode()}
    rows = [
        {"references": [{"url": "https://a/x.jpg"}], "video": {"path": "clips/a.mp4"}, "prompt": "ünï ☃"},
        {"references": [{"pixels": {"shape": [1, 1, 3], "data": "YWJj"}}], "video": {"frames": frames, "fps": "compat"},
         "details": True},
        {"references": [{"data": "AAAA"}], "video": {"images": [{"data": "AAAA"}], "fps": 8.5}},
        {"references": [{"data": "AAAA"}], "video": {"id": "sha256:" + "1" * 64}},
    ]  # fmt: skip
    job = store.submit("anna", None, "\n".join(map(json.dumps, rows)).encode(), model_name)
    for line, row in enumerate(rows, 1):
        waiting = store.next_item([(job.number, n) for n in range(1, line)], "")
        assert store.load(waiting) == JobItem.model_validate(row | {"id": str(line), "model": "tiny"})


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (b"{", "Invalid JSON"),
        (b"[1]", "line 2: "),
        (b"\xff", "line 2: "),
        (b"[" * 100_000, "Invalid JSON: recursion"),
        (b'{"references": [{"data": "AAAA"}], "video": {"data": "A"}}', "video.data: not base64"),
        (b'{"references": [{"data": "AAAA"}]}', "video: Field required"),
        (b'{"references": [], "video": {"data": "AAAA"}}', "references"),
        (b'{"references": [{"data": "AAAA"}], "video": {"data": "AAAA"}, "id": ""}', "id: "),
        (b'{"references": [{"data": "AAAA"}], "video": {"data": "AAAA"}, "id": "i0"}', "the same id as line 1"),
        (b'{"references": [{"data": "AAAA"}], "video": {"data": "AAAA"}, "model": "gone"}', "no model 'gone'"),
        (b'{"references": [{"data": "AAAA"}], "video": {"data": "AAAA"}, "$media": "x"}', "$media: Extra"),
        (b'{"references": {"$media": "x"}, "video": {"data": "AAAA"}}', "references"),
        (b'{"references": [{"data": {"$media": "x"}}], "video": {"data": "AAAA"}}', "references"),
    ],
)
def test_bad_lines_are_named_and_nothing_is_stored(store, bad, message):
    body = manifest(1) + bad + b"\n" + manifest(2).splitlines()[1] + b"\n" + bad
    with pytest.raises(InvalidRequest) as caught:
        store.submit("anna", "k", body, model_name)
    assert message in caught.value.message
    assert caught.value.details == {"lines": [2, 4]}
    assert [count(store, table) for table in ("jobs", "items", "media", "uses")] == [0] * 4
    assert store.submit("anna", "k", manifest(1), model_name).total == 1, "the key is free"


def test_only_the_first_of_many_bad_lines_are_shown(store):
    with pytest.raises(InvalidRequest, match=r"line 5: .*; and 15 more lines$"):
        store.submit("anna", None, b"{\n" * 20, model_name)
    for empty in (b"", b"\n \n"):
        with pytest.raises(InvalidRequest, match="no items"):
            store.submit("anna", None, empty, model_name)
