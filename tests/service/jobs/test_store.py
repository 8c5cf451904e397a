"""Jobs on a real disk: what is there after reopening, refusals, kills and full disks."""

import base64
import json
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from identity_reward_client.errors import Conflict, InvalidRequest, LimitExceeded, ModelNotFound, StorageFull
from identity_reward_client.messages import Image, Video
from identity_reward_client.transports.jobs import encode_manifest
from identity_reward_client.wire.job_messages import JobItem
from service.jobs import database as job_file
from service.jobs.store import JobStore
from tests.support.small_disk import small_disk


def item(number: int, reference: bytes = b"picture", **more) -> JobItem:
    video = Video(data=b"video %d" % number * 100)
    return JobItem(**({"id": f"i{number}", "references": [Image(data=reference)], "video": video} | more))


def manifest(count: int, **more) -> bytes:
    return encode_manifest(item(n, **more) for n in range(count))


def named(model: str | None) -> str:
    if model == "gone":
        raise ModelNotFound("no model 'gone' here; served: tiny")
    return model or "tiny"


def body(line: int) -> str:
    return json.dumps({"line": line, "id": f"i{line - 1}", "error": {"code": "x", "message": ""}})


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "jobs.sqlite"


@pytest.fixture
def make(path):
    made = []

    def open_store(max_bytes=1 << 30, max_items=1000, at=path) -> JobStore:
        made.append(JobStore(at, max_bytes, max_items))
        return made[-1]

    yield open_store
    for store in made:
        store.close()


@pytest.fixture
def store(make) -> JobStore:
    return make()


def count(store: JobStore, table: str) -> int:
    return store._db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]


def test_a_job_and_its_media_are_there_after_reopening(make):
    store = make()
    job = store.submit("anna", None, manifest(3), named)
    assert (job.state, job.total, job.done, store.waiting) == ("queued", 3, 0, 3)
    assert count(store, "media") == 4, "the picture once"
    store.close()
    store = make()
    assert store.job(job.id, "anna") == job
    assert store.waiting == 3
    for number in range(3):
        waiting = store.next_item([], "")
        assert waiting.line == number + 1
        assert store.load(waiting) == item(number, model="tiny"), "the name of the default model of that day"
        assert waiting.job.state == "running"
        store.record(*waiting.key, body(waiting.line), failed=True)
    done = store.job(job.id, "anna")
    assert (done.state, done.done, done.failed, store.waiting) == ("done", 3, 3, 0)
    assert [count(store, table) for table in ("items", "media", "uses")] == [0, 0, 0]


def test_an_item_has_one_result_whoever_records_again(store):
    job = store.submit("anna", None, manifest(2), named)
    assert store.record(job.number, 2, body(2), failed=False).done == 1
    assert store.record(job.number, 2, body(1), failed=True) is None
    assert store.record(job.number, 1, body(1), failed=False).done == 2
    assert store.record(job.number, 1, body(1), failed=False) is None
    lines = [json.loads(line) for line in store.results(job.number, 0, 10).splitlines()]
    assert [(one["number"], one["line"]) for one in lines] == [(1, 2), (2, 1)]
    assert store.results(job.number, 1, 10).splitlines() == store.results(job.number, 0, 10).splitlines()[1:]
    assert len(store.results(job.number, 0, 1).splitlines()) == 1
    with pytest.raises(sqlite3.IntegrityError):  # the tables hold it too
        store._db.execute("INSERT INTO results VALUES (?, 3, 2, '{}')", (job.number,))


def test_clients_take_turns_and_what_failed_comes_last(store):
    anna = [store.submit("anna", None, manifest(2), named).number for _ in range(2)]
    ben = store.submit("ben", None, manifest(1), named).number
    taken, turns, last = [], [], ""
    while (waiting := store.next_item(taken, last)) is not None:
        taken.append(waiting.key)
        turns.append(waiting.key)
        last = waiting.job.client
    assert turns == [(anna[0], 1), (ben, 1), (anna[0], 2), (anna[1], 1), (anna[1], 2)]
    store.count_try(anna[0], 1)
    again = store.next_item([], "ben")
    assert (again.key, again.tries) == ((anna[0], 2), 0)
    assert store.next_item([again.key], "ben").tries == 1


def test_cancelling_keeps_results_and_nothing_else(store):
    shared = store.submit("anna", None, manifest(2), named)
    job = store.submit("anna", None, manifest(3), named)
    store.record(job.number, 1, body(1), failed=False)
    cancelled = store.cancel(job.number)
    assert (cancelled.state, cancelled.done, cancelled.total, store.waiting) == ("cancelled", 1, 3, 2)
    assert store.record(job.number, 2, body(2), failed=False) is None
    assert len(store.results(job.number, 0, 10).splitlines()) == 1
    assert store.cancel(job.number) == cancelled
    assert store.load(store.next_item([], "")) == item(0, model="tiny"), "media that another job uses stay"
    assert count(store, "media") == 3
    assert store.cancel(shared.number).state == "cancelled"
    assert count(store, "media") == 0


def test_the_room_of_a_finished_jobs_media_is_given_back(store, path):
    jobs = [store.submit("anna", None, manifest(1, reference=bytes([n]) * (2 << 20)), named) for n in range(2)]

    def on_disk() -> int:
        return sum(one.stat().st_size for one in path.parent.iterdir())

    assert on_disk() > 4 << 20
    store.cancel(jobs[0].number)
    assert on_disk() < 3 << 20
    store.record(jobs[1].number, 1, body(1), failed=False)
    assert on_disk() < 1 << 20


def test_a_job_is_its_clients_alone(store):
    job = store.submit("anna", None, manifest(1), named)
    assert store.job(job.id, "ben") is None
    assert store.job(job.id, None) == job
    assert store.jobs("ben", None, 10) == []
    assert store.jobs(None, None, 10) == store.jobs("anna", None, 10) == [job]


def test_jobs_are_listed_from_the_newest_on_in_pages(store):
    made = [store.submit("anna", None, manifest(1), named) for _ in range(5)][::-1]
    assert store.jobs("anna", None, 2) == made[:2]
    assert store.jobs("anna", made[1].id, 9) == made[2:]


def test_a_key_stands_for_one_manifest_also_after_reopening(make):
    store = make()
    job = store.submit("anna", "k", manifest(2), named)
    assert store.submit("ben", "k", manifest(2), named).id != job.id
    store.close()
    store = make()
    assert store.submit("anna", "k", manifest(2), named) == job
    with pytest.raises(Conflict, match="another job"):
        store.submit("anna", "k", manifest(3), named)
    assert len(store.jobs(None, None, 10)) == 2


def test_a_line_may_name_the_pictures_of_an_earlier_one(make):
    lines = manifest(3).splitlines()
    assert b"sha256:" in lines[1]
    assert b"sha256:" not in lines[0]
    store = make()
    store.submit("anna", None, manifest(3), named)
    store.close()
    store = make()
    assert store.load(store.next_item([(1, 1)], "")).references == [Image(data=b"picture")]
    elsewhere = "sha256:" + "0" * 64
    job = store.submit("ben", None, encode_manifest([item(0, references=elsewhere)]), named)
    assert store.load(store.next_item([], "anna")).references == elsewhere
    assert store.next_item([], "anna").job == store.job(job.id, None)


def test_ids_are_line_numbers_where_absent_and_blank_lines_are_nothing(store):
    row = b'{"references": [{"data": "AAAA"}], "video": {"data": "AAAA"}}'
    job = store.submit("anna", None, b"\xef\xbb\xbf" + row + b"\r\n\n" + row, named)
    assert job.total == 2
    assert [store.next_item(taken, "").id for taken in ([], [(job.number, 1)])] == ["1", "3"]


def test_raw_frames_links_and_ids_come_back_as_they_were(store):
    frames = {"shape": [1, 2, 2, 3], "data": base64.b64encode(bytes(range(12))).decode()}
    rows = [
        {"references": [{"url": "https://a/x.jpg"}], "video": {"path": "clips/a.mp4"}, "prompt": "ünï ☃"},
        {"references": [{"pixels": {"shape": [1, 1, 3], "data": "YWJj"}}], "video": {"frames": frames, "fps": "compat"},
         "details": True},
        {"references": [{"data": "AAAA"}], "video": {"images": [{"data": "AAAA"}], "fps": 8.5}},
        {"references": [{"data": "AAAA"}], "video": {"id": "sha256:" + "1" * 64}},
    ]  # fmt: skip
    job = store.submit("anna", None, "\n".join(map(json.dumps, rows)).encode(), named)
    for line, row in enumerate(rows, 1):
        waiting = store.next_item([(job.number, n) for n in range(1, line)], "")
        assert store.load(waiting) == JobItem.model_validate(row | {"id": str(line), "model": "tiny"})


@pytest.mark.parametrize(
    ("bad", "says"),
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
def test_bad_lines_are_named_and_nothing_is_kept(store, bad, says):
    body = manifest(1) + bad + b"\n" + manifest(2).splitlines()[1] + b"\n" + bad
    with pytest.raises(InvalidRequest) as caught:
        store.submit("anna", "k", body, named)
    assert says in caught.value.message
    assert caught.value.details == {"lines": [2, 4]}
    assert [count(store, table) for table in ("jobs", "items", "media", "uses")] == [0] * 4
    assert store.submit("anna", "k", manifest(1), named).total == 1, "the key is free"


def test_of_many_bad_lines_a_few_are_shown(store):
    with pytest.raises(InvalidRequest, match=r"line 5: .*; and 15 more lines$"):
        store.submit("anna", None, b"{\n" * 20, named)
    for empty in (b"", b"\n \n"):
        with pytest.raises(InvalidRequest, match="no items"):
            store.submit("anna", None, empty, named)


def test_manifests_over_the_limits_are_refused_whole(make):
    store = make(max_bytes=1 << 20, max_items=3)
    with pytest.raises(LimitExceeded, match="max_job_items"):
        store.submit("anna", None, manifest(4), named)
    with pytest.raises(LimitExceeded, match="max_jobs_bytes"):
        store.submit("anna", None, manifest(1, reference=bytes(1 << 20)), named)
    first = store.submit("anna", None, manifest(1, reference=bytes(600_000)), named)
    with pytest.raises(StorageFull, match="earlier jobs"):
        store.submit("anna", None, manifest(1, reference=b"\1" * 600_000), named)
    assert len(store.jobs(None, None, 10)) == 1
    store.cancel(first.number)
    store.submit("anna", None, manifest(1, reference=b"\1" * 600_000), named)


def test_finished_jobs_are_dropped_after_their_time(store):
    old, young = (store.submit("anna", None, manifest(1), named) for _ in range(2))
    store.record(old.number, 1, body(1), failed=False)
    assert store.drop_finished(time.time() - 60) == 0
    assert store.drop_finished(time.time() + 1) == 1
    assert store.jobs(None, None, 10) == [young]
    assert count(store, "results") == 0


def test_one_process_has_the_file(make, path, monkeypatch):
    make()
    monkeypatch.setattr(job_file, "_LOCK_WAIT_S", 0.1)
    with pytest.raises(Conflict, match="another server keeps its jobs in"):
        make()
    code = "from service.jobs import database; database._LOCK_WAIT_S = 0.1; from service.jobs.store import JobStore; "
    code += f"from pathlib import Path; JobStore(Path({str(path)!r}), 1, 1)"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "another server keeps its jobs in" in other.stderr
    assert oct(path.stat().st_mode & 0o777) == "0o600"


def test_other_peoples_files_are_left_alone(make, tmp_path):
    text = tmp_path / "text"
    text.write_text("not a database, but long enough to look at" * 100)
    other = tmp_path / "other.sqlite"
    with sqlite3.connect(other) as db:
        db.execute("CREATE TABLE theirs (x)")
    for path in (text, other, tmp_path):
        with pytest.raises(InvalidRequest, match="jobs can't be kept in"):
            make(at=path)
    assert text.read_text().startswith("not a database")
    with sqlite3.connect(other) as db:
        assert db.execute("SELECT name FROM sqlite_master").fetchall() == [("theirs",)]


def test_a_disk_that_fills_up_on_the_way_keeps_nothing_of_the_job(store, path):
    job = store.submit("anna", None, manifest(2), named)
    store._db.execute("PRAGMA max_page_count = 200")  # SQLite's own limit: the same error in the middle of the work
    with pytest.raises(StorageFull):
        store.submit("anna", "k", manifest(2, reference=bytes(3 << 20)), named)
    assert store.jobs(None, None, 10) == [job]
    assert sum(one.stat().st_size for one in path.parent.iterdir()) < 1 << 20
    store._db.execute("PRAGMA max_page_count = 100000")
    assert store.submit("anna", "k", manifest(2, reference=bytes(3 << 20)), named).total == 2


def test_a_full_disk_refuses_a_job_and_a_result_until_there_is_room(make, tmp_path):
    with small_disk(tmp_path / "disk", 8) as disk:
        store = make(at=disk.folder / "jobs.sqlite")
        job = store.submit("anna", None, manifest(2), named)
        with pytest.raises(StorageFull) as caught:
            store.submit("anna", None, manifest(2, reference=bytes(3 << 20)), named)
        assert caught.value.retryable
        assert caught.value.retry_after_s
        assert store.jobs(None, None, 10) == [job]
        assert shutil.disk_usage(disk.folder).free > 7 << 20, "what was written of it is gone"
        disk.fill()
        refused = 0
        for line in (1, 2):
            while True:
                try:
                    store.record(job.number, line, body(line), failed=False)
                    break
                except StorageFull:
                    assert store.waiting == 3 - line
                    refused += 1
                    disk.free()
            if line == 1:
                disk.fill()
        assert refused, "the disk was not full"
        assert store.job(job.id, None).state == "done"
        store.close()
        store = make(at=disk.folder / "jobs.sqlite")
        lines = [json.loads(line) for line in store.results(job.number, 0, 10).splitlines()]
        assert [one["line"] for one in lines] == [1, 2]
        store.close()


WORKER = """
import json, random, sys, threading
from pathlib import Path
from service.jobs.store import JobStore
from identity_reward_client.wire.job_messages import JobItem
store = JobStore(Path(sys.argv[1]), 1 << 30, 1000)
draw = random.Random(sys.argv[2])
print("ready", flush=True)
sent = len(store.jobs(None, None, 1000))
while True:
    if sent < 60 and draw.random() < 0.1:
        face = {"references": [{"data": "QUFB"}]}
        lines = [{"id": f"i{n}", **face, "video": {"data": str(n) * 40_000}} for n in range(10)]
        job = store.submit("anna", f"k{sent}", "\\n".join(map(json.dumps, lines)).encode(), lambda name: "tiny")
        print("job", job.id, flush=True)
        sent += 1
    item = store.next_item([], "")
    if item is None:
        if sent == 60:
            print("all", flush=True)
            sys.exit()
        continue
    digit = bytes(store.load(item).video.data).hex()[:4]
    store.record(*item.key, json.dumps({"line": item.line, "scored": digit}), False)
    print("result", item.job.id, item.line, flush=True)
"""


def test_kills_at_any_moment_lose_nothing_and_repeat_nothing(make, path):
    draw = random.Random(7)
    said: list[list[str]] = []
    for life in range(60):
        worker = subprocess.Popen(
            [sys.executable, "-c", WORKER, str(path), str(life)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert worker.stdout is not None
        lines = [worker.stdout.readline()]
        if life < 8:
            time.sleep(draw.uniform(0.0, 0.1))
            worker.send_signal(signal.SIGKILL)
        rest, errors = worker.communicate(timeout=60)
        assert lines == ["ready\n"], errors
        complete = rest.rpartition("\n")[0].splitlines()
        said += [line.split() for line in complete]
        store = make()
        check(store, said)
        store.close()
        if complete and complete[-1] == "all":
            break
    assert life >= 8
    store = make()
    assert [job.state for job in store.jobs(None, None, 1000)] == ["done"] * 60
    assert count(store, "media") == 0


def check(store: JobStore, said: list[list[str]]) -> None:
    assert store._db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert not store._db.execute("PRAGMA foreign_key_check").fetchall()
    jobs = {job.id: job for job in store.jobs(None, None, 1000)}
    found = set()
    for job in jobs.values():
        assert job.total == 10, "a job is there whole or not at all"
        results = [json.loads(line) for line in store.results(job.number, 0, 1000).splitlines()]
        assert [one["number"] for one in results] == list(range(1, job.done + 1))
        assert len({one["line"] for one in results}) == len(results)
        for one in results:
            expected = base64.b64decode(str(one["line"] - 1) * 4).hex()[:4]
            assert one["scored"] == expected
            found.add((job.id, str(one["line"])))
        waiting = [row[0] for row in store._db.execute("SELECT line FROM items WHERE job = ?", (job.number,))]
        assert sorted([*waiting, *(one["line"] for one in results)]) == list(range(1, 11))
    for kind, *rest in said:
        assert kind != "job" or rest[0] in jobs
        assert kind != "result" or tuple(rest) in found
