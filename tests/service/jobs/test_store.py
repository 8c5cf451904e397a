import json
import sqlite3
import time

import pytest

from identity_reward_client.errors import Conflict, LimitExceeded, StorageFull
from tests.service.jobs.jobs import body, count, item, manifest, model_name


def test_a_job_and_its_media_survive_reopening(open_store):
    store = open_store()
    job = store.submit("anna", None, manifest(3), model_name)
    assert (job.state, job.total, job.done, store.num_waiting) == ("queued", 3, 0, 3)
    assert count(store, "media") == 4, "the image is stored once"
    store.close()
    store = open_store()
    assert store.job(job.id, "anna") == job
    assert store.num_waiting == 3
    for number in range(3):
        waiting = store.next_item([], "")
        assert waiting.line == number + 1
        assert store.load(waiting) == item(number, model="tiny"), "with the name of the default model at that time"
        assert waiting.job.state == "running"
        store.record(*waiting.key, body(waiting.line), failed=True)
    done = store.job(job.id, "anna")
    assert (done.state, done.done, done.failed, store.num_waiting) == ("done", 3, 3, 0)
    assert [count(store, table) for table in ("items", "media", "uses")] == [0, 0, 0]


def test_an_item_has_one_result_however_often_it_is_recorded(store):
    job = store.submit("anna", None, manifest(2), model_name)
    assert store.record(job.number, 2, body(2), failed=False).done == 1
    assert store.record(job.number, 2, body(1), failed=True) is None
    assert store.record(job.number, 1, body(1), failed=False).done == 2
    assert store.record(job.number, 1, body(1), failed=False) is None
    lines = [json.loads(line) for line in store.results(job.number, 0, 10).splitlines()]
    assert [(line["number"], line["line"]) for line in lines] == [(1, 2), (2, 1)]
    assert store.results(job.number, 1, 10).splitlines() == store.results(job.number, 0, 10).splitlines()[1:]
    assert len(store.results(job.number, 0, 1).splitlines()) == 1
    with pytest.raises(sqlite3.IntegrityError):  # the schema forbids it too
        store._db.execute("INSERT INTO results VALUES (?, 3, 2, '{}')", (job.number,))


def test_clients_take_turns_and_failed_items_come_last(store):
    anna = [store.submit("anna", None, manifest(2), model_name).number for _ in range(2)]
    ben = store.submit("ben", None, manifest(1), model_name).number
    running, last = [], ""
    while (waiting := store.next_item(running, last)) is not None:
        running.append(waiting.key)
        last = waiting.job.client
    assert running == [(anna[0], 1), (ben, 1), (anna[0], 2), (anna[1], 1), (anna[1], 2)]
    store.count_try(anna[0], 1)
    again = store.next_item([], "ben")
    assert (again.key, again.tries) == ((anna[0], 2), 0)
    assert store.next_item([again.key], "ben").tries == 1


def test_cancelling_keeps_only_results(store):
    shared = store.submit("anna", None, manifest(2), model_name)
    job = store.submit("anna", None, manifest(3), model_name)
    store.record(job.number, 1, body(1), failed=False)
    cancelled = store.cancel(job.number)
    assert (cancelled.state, cancelled.done, cancelled.total, store.num_waiting) == ("cancelled", 1, 3, 2)
    assert store.record(job.number, 2, body(2), failed=False) is None
    assert len(store.results(job.number, 0, 10).splitlines()) == 1
    assert store.cancel(job.number) == cancelled
    assert store.load(store.next_item([], "")) == item(0, model="tiny"), "media that another job uses stay"
    assert count(store, "media") == 3
    assert store.cancel(shared.number).state == "cancelled"
    assert count(store, "media") == 0


def test_disk_space_of_finished_jobs_is_freed(store, path):
    jobs = [store.submit("anna", None, manifest(1, reference=bytes([n]) * (2 << 20)), model_name) for n in range(2)]

    def on_disk() -> int:
        return sum(file.stat().st_size for file in path.parent.iterdir())

    assert on_disk() > 4 << 20
    store.cancel(jobs[0].number)
    assert on_disk() < 3 << 20
    store.record(jobs[1].number, 1, body(1), failed=False)
    assert on_disk() < 1 << 20


def test_a_job_is_visible_to_its_client_only(store):
    job = store.submit("anna", None, manifest(1), model_name)
    assert store.job(job.id, "ben") is None
    assert store.job(job.id, None) == job
    assert store.jobs("ben", None, 10) == []
    assert store.jobs(None, None, 10) == store.jobs("anna", None, 10) == [job]


def test_jobs_are_listed_in_pages_newest_first(store):
    jobs = [store.submit("anna", None, manifest(1), model_name) for _ in range(5)][::-1]
    assert store.jobs("anna", None, 2) == jobs[:2]
    assert store.jobs("anna", jobs[1].id, 9) == jobs[2:]


def test_an_idempotency_key_is_for_one_manifest_also_after_reopening(open_store):
    store = open_store()
    job = store.submit("anna", "k", manifest(2), model_name)
    assert store.submit("ben", "k", manifest(2), model_name).id != job.id
    store.close()
    store = open_store()
    assert store.submit("anna", "k", manifest(2), model_name) == job
    with pytest.raises(Conflict, match="another job"):
        store.submit("anna", "k", manifest(3), model_name)
    assert len(store.jobs(None, None, 10)) == 2


def test_manifests_over_a_limit_are_refused_whole(open_store):
    store = open_store(max_bytes=1 << 20, max_items=3)
    with pytest.raises(LimitExceeded, match="max_job_items"):
        store.submit("anna", None, manifest(4), model_name)
    with pytest.raises(LimitExceeded, match="max_jobs_bytes"):
        store.submit("anna", None, manifest(1, reference=bytes(1 << 20)), model_name)
    first = store.submit("anna", None, manifest(1, reference=bytes(600_000)), model_name)
    with pytest.raises(StorageFull, match="earlier jobs"):
        store.submit("anna", None, manifest(1, reference=b"\1" * 600_000), model_name)
    assert len(store.jobs(None, None, 10)) == 1
    store.cancel(first.number)
    store.submit("anna", None, manifest(1, reference=b"\1" * 600_000), model_name)


def test_finished_jobs_are_deleted_after_their_lifetime(store):
    old, young = (store.submit("anna", None, manifest(1), model_name) for _ in range(2))
    store.record(old.number, 1, body(1), failed=False)
    assert store.drop_finished(time.time() - 60) == 0
    assert store.drop_finished(time.time() + 1) == 1
    assert store.jobs(None, None, 10) == [young]
    assert count(store, "results") == 0
