"""Jobs on a real engine and a real database: every item gets one result, whatever goes wrong on the way."""

import asyncio

import pytest

from identity_reward_client.errors import NotFound, NotReady
from identity_reward_client.messages import Image, Video
from identity_reward_client.transports.jobs import encode_manifest
from service.jobs import runner
from tests.service.conftest import LOADED
from tests.service.jobs.running_jobs import ANNA, BEN, LIMIT_S, finished, num_admitted, results, scored_item
from tests.support.small_disk import small_disk
from tests.support.waiting import until


async def test_every_item_gets_a_reward_or_an_error(start):
    jobs = await start()
    items = [scored_item(n) for n in (20, 40, 7, 60)] + [
        scored_item(50, references="sha256:" + "0" * 64),
        scored_item(80, id="last"),
    ]
    items.append(scored_item(50, video=Video(path="clip.mp4")))
    sent = await jobs.submit(encode_manifest(items), ANNA)
    assert (sent.state, sent.total, sent.waiting) == ("queued", 7, 7)
    info = await finished(jobs, sent.id)
    assert (info.state, info.done, info.failed, info.waiting) == ("done", 7, 3, 0)
    assert info.created_at <= info.started_at <= info.finished_at
    by_line = {result.line: result for result in await results(jobs, sent.id)}
    assert {line: result.scored.reward for line, result in by_line.items() if result.scored} == {
        1: 20 / 255, 2: 40 / 255, 4: 60 / 255, 6: 80 / 255
    }  # fmt: skip
    assert {line: result.error.code for line, result in by_line.items() if result.error} == {
        3: "non_finite_reward", 5: "reference_set_not_found", 7: "input_refused"
    }  # fmt: skip
    assert by_line[6].id == "last"
    assert by_line[1].scored.request_id == f"{sent.id}:1"
    assert by_line[1].scored.model.name == "brightness"


@pytest.mark.parametrize("link", [{"path": ""}, {"url": ""}, {"path": "/etc/passwd"}])
async def test_a_refused_link_is_an_error_of_its_item(start, link):
    jobs = await start()
    job = await jobs.submit(encode_manifest([scored_item(20, references=[Image(**link)]), scored_item(40)]), ANNA)
    await finished(jobs, job.id)
    first, second = sorted(await results(jobs, job.id), key=lambda result: result.line)
    assert first.error.code == "input_refused"
    assert second.scored.reward == 40 / 255


async def test_overload_and_rate_limits_are_retried_and_never_recorded(start):
    jobs = await start(client_videos_per_s=20, client_burst_videos=2, max_waiting_tokens=2, max_running_job_items=4)
    sent = await jobs.submit(encode_manifest(scored_item(n) for n in range(20, 26)), ANNA)

    async def held_up():
        return (await jobs.info(sent.id, ANNA)).held_up

    assert (await until(held_up)).code in ("rate_limited", "overloaded")
    info = await finished(jobs, sent.id)
    assert (info.done, info.failed, info.held_up) == (6, 0, None)


async def test_a_crashing_forward_pass_is_tried_three_times_and_fails_its_item_only(start):
    jobs = await start(max_running_job_items=1)
    LOADED[-1].batches.clear()
    sent = await jobs.submit(encode_manifest([scored_item(13), scored_item(20)]), ANNA)
    info = await finished(jobs, sent.id)
    assert (info.done, info.failed) == (2, 1)
    by_line = {result.line: result for result in await results(jobs, sent.id)}
    assert by_line[1].error.code == "scoring_failed"
    assert by_line[2].scored.reward == 20 / 255
    assert LOADED[-1].batches.count([13.0]) == 3


async def test_cancelling_a_running_job_stops_scoring_and_keeps_its_results(start):
    jobs = await start(max_running_job_items=2, max_batch_tokens=1)
    model = LOADED[-1]
    sent = await jobs.submit(encode_manifest(scored_item(n) for n in range(20, 80)), ANNA)

    async def some():
        return (await jobs.info(sent.id, ANNA)).done >= 3

    await until(some)
    model.open.clear()
    info = await jobs.cancel(sent.id, ANNA)
    assert info.state == "cancelled"
    assert info.done < 60
    model.open.set()
    await until(lambda: not jobs._runner._running and not num_admitted(jobs))
    assert (await jobs._engine.score(scored_item(200))).reward == 200 / 255
    assert model.batches[-1] == [200.0]
    assert len(model.batches) < 60
    assert len(await results(jobs, sent.id)) == info.done
    assert await jobs.cancel(sent.id, ANNA) == await jobs.info(sent.id, ANNA)
    assert jobs._store.num_waiting == 0


async def test_a_drain_records_running_items_and_leaves_the_others_to_the_next_server(start):
    jobs = await start(max_running_job_items=2)
    model = LOADED[-1]
    model.open.clear()
    sent = await jobs.submit(encode_manifest(scored_item(n) for n in range(20, 30)), ANNA)
    await until(lambda: num_admitted(jobs) == 2)
    jobs._engine.begin_drain()
    draining = asyncio.create_task(jobs.drain(LIMIT_S))
    with pytest.raises(NotReady):
        await jobs.submit(encode_manifest([scored_item(1)]), ANNA)
    assert not draining.done()
    model.open.set()
    await draining
    info = await jobs.info(sent.id, ANNA)
    assert (info.state, info.done, info.failed) == ("running", 2, 0)
    await jobs.close()
    again = await start()
    info = await finished(again, sent.id)
    assert (info.done, info.failed) == (10, 0)
    all_results = await results(again, sent.id)
    assert sorted(result.line for result in all_results) == list(range(1, 11))
    assert {result.line: result.scored.reward for result in all_results} == {n - 19: n / 255 for n in range(20, 30)}


async def test_a_drain_that_takes_too_long_leaves_items_in_the_store(start):
    jobs = await start()
    LOADED[-1].open.clear()
    sent = await jobs.submit(encode_manifest([scored_item(20)]), ANNA)
    await until(lambda: num_admitted(jobs) == 1)
    await jobs.drain(0.05)
    LOADED[-1].open.set()
    await jobs.close()
    assert (await finished(await start(), sent.id)).failed == 0


async def test_a_small_job_does_not_wait_for_another_clients_large_one(start):
    jobs = await start(max_running_job_items=2, max_batch_tokens=1)
    large = await jobs.submit(encode_manifest(scored_item(n % 200 + 20) for n in range(300)), ANNA)
    small = await jobs.submit(encode_manifest(scored_item(n) for n in range(20, 24)), BEN)
    await finished(jobs, small.id, BEN)
    info = await jobs.info(large.id, ANNA)
    assert info.done < 250
    assert info.items_per_s > 0
    assert 0 < info.eta_s < 60
    await jobs.cancel(large.id, ANNA)


async def test_a_full_disk_pauses_a_job_while_scoring_continues(start, tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "_BASE_S", 0.5)  # long enough for the disk to be filled again in between
    with small_disk(tmp_path / "disk", 8) as disk:
        jobs = await start(disk.folder / "jobs.sqlite", max_running_job_items=2)
        model, engine = LOADED[-1], jobs._engine
        model.open.clear()
        sent = await jobs.submit(encode_manifest(scored_item(n) for n in range(20, 60)), ANNA)
        disk.fill()
        model.open.set()

        async def held_up():
            disk.fill()  # with the space that the log has freed too
            info = await jobs.info(sent.id, ANNA)
            return info if info.held_up is not None else None

        info = await until(held_up)
        assert (info.held_up.code, info.held_up.retryable) == ("storage_full", True)
        forwards = len(model.batches)
        assert (await engine.score(scored_item(100))).reward == 100 / 255
        assert len(model.batches) <= forwards + 3, "scores are kept, not computed again"
        disk.free()
        info = await finished(jobs, sent.id)
        assert (info.done, info.failed, info.held_up) == (40, 0, None)
        rewards = {result.line: result.scored.reward for result in await results(jobs, sent.id)}
        assert rewards == {n - 19: n / 255 for n in range(20, 60)}
        assert sum(map(len, model.batches)) == 41, "each video is scored once"
        await jobs.close()


async def test_finished_jobs_are_deleted_after_their_lifetime(start):
    jobs = await start(job_lifetime_s=0.2)
    sent = await jobs.submit(encode_manifest([scored_item(20)]), ANNA)

    async def gone():
        return not (await jobs.list(ANNA)).jobs

    await until(gone)
    with pytest.raises(NotFound):
        await jobs.info(sent.id, ANNA)
