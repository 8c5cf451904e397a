"""Jobs on a real engine and a real file: every item one outcome, whatever stands in its way."""

import asyncio
import json
import time
from dataclasses import replace

import numpy as np
import pytest

from identity_reward_client.errors import InvalidRequest, NotFound, NotReady
from identity_reward_client.messages import Image, Pixels, Video
from identity_reward_client.transports.jobs import encode_manifest
from identity_reward_client.wire.job_messages import JobItem, JobResult
from service.jobs import runner as job_runner
from service.jobs.service import Jobs
from service.operations.metrics import Metrics
from service.scheduling.call import Call
from tests.service.conftest import LOADED
from tests.support.small_disk import small_disk

ANNA, BEN = Call(client="anna"), Call(client="ben")


def item(value: int, **more) -> JobItem:
    """Of known reward: value / 255."""
    frames = np.full((6, 8, 8, 3), value, np.uint8)
    face = Image(pixels=Pixels(shape=[1, 1, 3], data=b"abc"))
    video = Video(frames=Pixels(shape=list(frames.shape), data=frames.tobytes()), fps=8)
    return JobItem(**({"references": [face], "video": video} | more))


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(job_runner, "_BASE_S", 0.02)


@pytest.fixture
async def start(make_engine, tmp_path):
    made = []

    async def open_jobs(path=tmp_path / "jobs.sqlite", **settings) -> Jobs:
        engine = make_engine(jobs_path=path, result_cache_entries=0, **settings)
        jobs = await Jobs.open(engine.settings, engine, engine.metrics)
        assert jobs is not None
        jobs.start()
        made.append(jobs)
        return jobs

    yield open_jobs
    for jobs in made:
        await jobs.close()


async def until(condition, timeout_s: float = 10):
    deadline = time.monotonic() + timeout_s
    while not (found := await condition()):
        assert time.monotonic() < deadline, "not in time"
        await asyncio.sleep(0.005)
    return found


async def finished(jobs: Jobs, job: str, call: Call = ANNA):
    async def done():
        info = await jobs.info(job, call)
        return info if info.finished else None

    return await until(done)


async def results(jobs: Jobs, job: str, call: Call = ANNA, **page) -> list[JobResult]:
    return [JobResult.model_validate_json(line) for line in (await jobs.results(job, call, **page)).splitlines()]


async def test_every_item_has_its_reward_or_its_error(start):
    jobs = await start()
    items = [item(n) for n in (20, 40, 7, 60)] + [item(50, references="sha256:" + "0" * 64), item(80, id="last")]
    items.append(item(50, video=Video(path="clip.mp4")))
    sent = await jobs.submit(encode_manifest(items), ANNA)
    assert (sent.state, sent.total, sent.waiting) == ("queued", 7, 7)
    info = await finished(jobs, sent.id)
    assert (info.state, info.done, info.failed, info.waiting) == ("done", 7, 3, 0)
    assert info.created_at <= info.started_at <= info.finished_at
    found = {one.line: one for one in await results(jobs, sent.id)}
    assert {line: one.scored.reward for line, one in found.items() if one.scored} == {
        1: 20 / 255, 2: 40 / 255, 4: 60 / 255, 6: 80 / 255
    }  # fmt: skip
    assert {line: one.error.code for line, one in found.items() if one.error} == {
        3: "non_finite_reward", 5: "reference_set_not_found", 7: "input_refused"
    }  # fmt: skip
    assert found[6].id == "last"
    assert found[1].scored.request_id == f"{sent.id}:1"
    assert found[1].scored.model.name == "brightness"


@pytest.mark.parametrize("link", [{"path": ""}, {"url": ""}, {"path": "/etc/passwd"}])
async def test_a_link_that_is_not_taken_is_its_items_error(start, link):
    jobs = await start()
    job = await jobs.submit(encode_manifest([item(20, references=[Image(**link)]), item(40)]), ANNA)
    await finished(jobs, job.id)
    first, second = sorted(await results(jobs, job.id), key=lambda one: one.line)
    assert first.error.code == "input_refused"
    assert second.scored.reward == 40 / 255


async def test_pages_of_results_join_to_all_of_them(start):
    jobs = await start(max_running_job_items=1)
    sent = await jobs.submit(encode_manifest(item(n) for n in range(20, 30)), ANNA)
    after, seen = 0, []
    while len(seen) < 10:
        for one in await results(jobs, sent.id, after=after, limit=3):
            assert one.number == after + 1
            after = one.number
            seen.append(one.line)
    assert seen == list(range(1, 11)), "one at a time: in the manifest's order"
    assert await results(jobs, sent.id, after=10) == []
    for limit in (0, 1001):
        with pytest.raises(InvalidRequest, match="limit must be 1 to 1000"):
            await jobs.results(sent.id, ANNA, limit=limit)


async def test_overload_and_rates_are_waited_out_and_never_recorded(start):
    jobs = await start(client_videos_per_s=20, client_burst_videos=2, max_waiting_tokens=2, max_running_job_items=4)
    sent = await jobs.submit(encode_manifest(item(n) for n in range(20, 26)), ANNA)

    async def held_up():
        return (await jobs.info(sent.id, ANNA)).held_up

    assert (await until(held_up)).code in ("rate_limited", "overloaded")
    info = await finished(jobs, sent.id)
    assert (info.done, info.failed, info.held_up) == (6, 0, None)


async def test_a_crash_of_the_forward_is_tried_three_times_and_costs_its_item_alone(start):
    jobs = await start(max_running_job_items=1)
    LOADED[-1].batches.clear()
    sent = await jobs.submit(encode_manifest([item(13), item(20)]), ANNA)
    info = await finished(jobs, sent.id)
    assert (info.done, info.failed) == (2, 1)
    found = {one.line: one for one in await results(jobs, sent.id)}
    assert found[1].error.code == "scoring_failed"
    assert found[2].scored.reward == 20 / 255
    assert LOADED[-1].batches.count([13.0]) == 3


async def test_cancelling_in_the_middle_stops_the_forwards_and_keeps_what_is_there(start):
    jobs = await start(max_running_job_items=2, max_batch_tokens=1)
    model = LOADED[-1]
    sent = await jobs.submit(encode_manifest(item(n) for n in range(20, 80)), ANNA)

    async def some():
        return (await jobs.info(sent.id, ANNA)).done >= 3

    await until(some)
    model.open.clear()
    info = await jobs.cancel(sent.id, ANNA)
    assert info.state == "cancelled"
    assert info.done < 60
    model.open.set()
    await asyncio.sleep(0.1)
    before = len(model.batches)
    await asyncio.sleep(0.1)
    assert len(model.batches) == before < 60
    assert len(await results(jobs, sent.id)) == info.done
    assert await jobs.cancel(sent.id, ANNA) == await jobs.info(sent.id, ANNA)
    assert jobs._store.waiting == 0


async def test_a_drain_records_what_runs_and_leaves_the_rest_for_the_next_server(start):
    jobs = await start(max_running_job_items=2)
    model = LOADED[-1]
    model.open.clear()
    sent = await jobs.submit(encode_manifest(item(n) for n in range(20, 30)), ANNA)

    async def running():
        return len(jobs._runner._running) == 2

    await until(running)
    jobs._engine.begin_drain()
    draining = asyncio.create_task(jobs.drain(5))
    with pytest.raises(NotReady):
        await jobs.submit(encode_manifest([item(1)]), ANNA)
    await asyncio.sleep(0.05)
    model.open.set()
    await draining
    info = await jobs.info(sent.id, ANNA)
    assert (info.state, info.done, info.failed) == ("running", 2, 0)
    await jobs.close()
    again = await start()
    info = await finished(again, sent.id)
    assert (info.done, info.failed) == (10, 0)
    found = await results(again, sent.id)
    assert sorted(one.line for one in found) == list(range(1, 11))
    assert {one.line: one.scored.reward for one in found} == {n - 19: n / 255 for n in range(20, 30)}


async def test_a_drain_that_takes_too_long_leaves_items_waiting(start):
    jobs = await start()
    LOADED[-1].open.clear()
    sent = await jobs.submit(encode_manifest([item(20)]), ANNA)

    async def running():
        return jobs._runner._running

    await until(running)
    await jobs.drain(0.05)
    LOADED[-1].open.set()
    await jobs.close()
    assert (await finished(await start(), sent.id)).failed == 0


async def test_another_clients_job_is_not_there(start):
    jobs = await start()
    sent = await jobs.submit(encode_manifest([item(20)]), ANNA)
    for ask in (jobs.info, jobs.results, jobs.cancel):
        with pytest.raises(NotFound, match="no such job of yours"):
            await ask(sent.id, BEN)
    assert (await jobs.list(BEN)).jobs == []
    admin = replace(BEN, admin=True)
    assert [one.id for one in (await jobs.list(admin)).jobs] == [sent.id]
    assert (await jobs.info(sent.id, admin)).id == sent.id


async def test_a_small_job_does_not_wait_for_another_clients_large_one(start):
    jobs = await start(max_running_job_items=2, max_batch_tokens=1)
    large = await jobs.submit(encode_manifest(item(n % 200 + 20) for n in range(300)), ANNA)
    small = await jobs.submit(encode_manifest(item(n) for n in range(20, 24)), BEN)
    await finished(jobs, small.id, BEN)
    info = await jobs.info(large.id, ANNA)
    assert info.done < 250
    assert info.items_per_s > 0
    assert 0 < info.eta_s < 60
    await jobs.cancel(large.id, ANNA)


async def test_a_list_has_pages(start):
    jobs = await start()
    ids = [(await jobs.submit(encode_manifest([item(n)]), ANNA)).id for n in range(20, 25)]
    first = await jobs.list(ANNA, limit=3)
    rest = await jobs.list(ANNA, after=first.next, limit=3)
    assert [one.id for one in [*first.jobs, *rest.jobs]] == ids[::-1]
    assert rest.next is None


async def test_a_full_disk_pauses_a_job_and_scoring_goes_on(start, tmp_path, monkeypatch):
    monkeypatch.setattr(job_runner, "_BASE_S", 0.5)  # long enough for the disk to be filled again in between
    with small_disk(tmp_path / "disk", 8) as disk:
        jobs = await start(disk.folder / "jobs.sqlite", max_running_job_items=2)
        model, engine = LOADED[-1], jobs._engine
        model.open.clear()
        sent = await jobs.submit(encode_manifest(item(n) for n in range(20, 60)), ANNA)
        disk.fill()
        model.open.set()

        async def held_up():
            disk.fill()  # also what the log gives back
            info = await jobs.info(sent.id, ANNA)
            return info if info.held_up is not None else None

        info = await until(held_up)
        assert (info.held_up.code, info.held_up.retryable) == ("storage_full", True)
        forwards = len(model.batches)
        assert (await engine.score(item(100))).reward == 100 / 255
        await asyncio.sleep(0.2)
        assert len(model.batches) <= forwards + 3, "what is scored is kept, not scored again"
        disk.free()
        info = await finished(jobs, sent.id)
        assert (info.done, info.failed, info.held_up) == (40, 0, None)
        found = {one.line: one.scored.reward for one in await results(jobs, sent.id)}
        assert found == {n - 19: n / 255 for n in range(20, 60)}
        assert sum(map(len, model.batches)) == 41, "each once"
        await jobs.close()


async def test_finished_jobs_go_after_their_lifetime(start):
    jobs = await start(job_lifetime_s=0.2)
    sent = await jobs.submit(encode_manifest([item(20)]), ANNA)

    async def gone():
        return not (await jobs.list(ANNA)).jobs

    await until(gone)
    with pytest.raises(NotFound):
        await jobs.info(sent.id, ANNA)


async def test_metrics_count_items(start):
    jobs = await start()
    metrics: Metrics = jobs._runner._metrics
    LOADED[-1].open.clear()
    sent = await jobs.submit(encode_manifest([item(20), item(7)]), ANNA)
    assert b"identity_reward_job_items_waiting 2.0" in metrics.text()
    LOADED[-1].open.set()
    await finished(jobs, sent.id)
    text = metrics.text().decode()
    assert "identity_reward_job_items_waiting 0.0" in text
    assert 'identity_reward_job_items_total{outcome="scored"} 1.0' in text
    assert 'identity_reward_job_items_total{outcome="failed"} 1.0' in text


async def test_a_repeat_with_its_key_is_the_same_job(start):
    jobs = await start()
    call = Call(client="anna", idempotency_key="k")
    sent = [await jobs.submit(encode_manifest([item(20)]), call) for _ in range(2)]
    assert sent[0].id == sent[1].id
    await finished(jobs, sent[0].id)
    assert (await jobs.submit(encode_manifest([item(20)]), call)).state == "done"
    assert len((await jobs.list(ANNA)).jobs) == 1
    assert json.loads((await jobs.results(sent[0].id, ANNA)).splitlines()[0])["number"] == 1
