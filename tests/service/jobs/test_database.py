import base64
import json
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time

import pytest

from identity_reward_client.errors import Conflict, InvalidRequest, StorageFull
from service.jobs import database
from service.jobs.store import JobStore
from tests.service.jobs.jobs import body, count, manifest, model_name
from tests.support.small_disk import small_disk


def test_only_one_process_can_open_the_database(open_store, path, monkeypatch):
    open_store()
    monkeypatch.setattr(database, "_LOCK_WAIT_S", 0.1)
    with pytest.raises(Conflict, match="another server keeps its jobs in"):
        open_store()
    code = "from service.jobs import database; database._LOCK_WAIT_S = 0.1; from service.jobs.store import JobStore; "
    code += f"from pathlib import Path; JobStore(Path({str(path)!r}), 1, 1)"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "another server keeps its jobs in" in other.stderr
    assert oct(path.stat().st_mode & 0o777) == "0o600"


def test_files_of_other_programs_are_refused_and_unchanged(open_store, tmp_path):
    text = tmp_path / "text"
    text.write_text("not a database, but long enough to look at" * 100)
    other = tmp_path / "other.sqlite"
    with sqlite3.connect(other) as db:
        db.execute("CREATE TABLE theirs (x)")
    for path in (text, other, tmp_path):
        with pytest.raises(InvalidRequest, match="jobs can't be stored in"):
            open_store(at=path)
    assert text.read_text().startswith("not a database")
    with sqlite3.connect(other) as db:
        assert db.execute("SELECT name FROM sqlite_master").fetchall() == [("theirs",)]


def test_nothing_of_a_job_is_stored_when_the_disk_fills_up_on_the_way(store, path):
    job = store.submit("anna", None, manifest(2), model_name)
    store._db.execute("PRAGMA max_page_count = 200")  # SQLite's own limit: the same error in the middle of the work
    with pytest.raises(StorageFull):
        store.submit("anna", "k", manifest(2, reference=bytes(3 << 20)), model_name)
    assert store.jobs(None, None, 10) == [job]
    assert sum(file.stat().st_size for file in path.parent.iterdir()) < 1 << 20
    store._db.execute("PRAGMA max_page_count = 100000")
    assert store.submit("anna", "k", manifest(2, reference=bytes(3 << 20)), model_name).total == 2


def test_a_full_disk_refuses_jobs_and_results_until_there_is_space(open_store, tmp_path):
    with small_disk(tmp_path / "disk", 8) as disk:
        store = open_store(at=disk.folder / "jobs.sqlite")
        job = store.submit("anna", None, manifest(2), model_name)
        with pytest.raises(StorageFull) as caught:
            store.submit("anna", None, manifest(2, reference=bytes(3 << 20)), model_name)
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
                    assert store.num_waiting == 3 - line
                    refused += 1
                    disk.free()
            if line == 1:
                disk.fill()
        assert refused, "the disk was not full"
        assert store.job(job.id, None).state == "done"
        store.close()
        store = open_store(at=disk.folder / "jobs.sqlite")
        lines = [json.loads(line) for line in store.results(job.number, 0, 10).splitlines()]
        assert [line["line"] for line in lines] == [1, 2]
        store.close()


WORKER = """
import json, random, sys, threading
from pathlib import Path
from service.jobs.store import JobStore
from identity_reward_client.wire.job_messages import JobItem
store = JobStore(Path(sys.argv[1]), 1 << 30, 1000)
choices = random.Random(sys.argv[2])
print("ready", flush=True)
sent = len(store.jobs(None, None, 1000))
while True:
    if sent < 60 and choices.random() < 0.1:
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


def test_kills_at_random_moments_lose_and_repeat_nothing(open_store, path):
    moments = random.Random(7)
    reports: list[list[str]] = []
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
            time.sleep(moments.uniform(0.0, 0.1))
            worker.send_signal(signal.SIGKILL)
        rest, errors = worker.communicate(timeout=300)
        assert lines == ["ready\n"], errors
        complete = rest.rpartition("\n")[0].splitlines()
        reports += [line.split() for line in complete]
        store = open_store()
        check(store, reports)
        store.close()
        if complete and complete[-1] == "all":
            break
    assert life >= 8
    store = open_store()
    assert [job.state for job in store.jobs(None, None, 1000)] == ["done"] * 60
    assert count(store, "media") == 0


def check(store: JobStore, reports: list[list[str]]) -> None:
    """What the workers reported is stored, every job whole, every item once."""
    assert store._db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert not store._db.execute("PRAGMA foreign_key_check").fetchall()
    jobs = {job.id: job for job in store.jobs(None, None, 1000)}
    recorded = set()
    for job in jobs.values():
        assert job.total == 10, "a job is stored whole or not at all"
        results = [json.loads(line) for line in store.results(job.number, 0, 1000).splitlines()]
        assert [result["number"] for result in results] == list(range(1, job.done + 1))
        assert len({result["line"] for result in results}) == len(results)
        for result in results:
            expected = base64.b64decode(str(result["line"] - 1) * 4).hex()[:4]
            assert result["scored"] == expected
            recorded.add((job.id, str(result["line"])))
        waiting = [row[0] for row in store._db.execute("SELECT line FROM items WHERE job = ?", (job.number,))]
        assert sorted([*waiting, *(result["line"] for result in results)]) == list(range(1, 11))
    for kind, *values in reports:
        assert kind != "job" or values[0] in jobs
        assert kind != "result" or tuple(values) in recorded
