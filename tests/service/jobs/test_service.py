"""Jobs as transports see them: pages, owners, repeats, metrics."""

import json
from dataclasses import replace

import pytest

from identity_reward_client.errors import InvalidRequest, NotFound
from identity_reward_client.transports.jobs import encode_manifest
from service.operations.metrics import Metrics
from service.scheduling.call import Call
from tests.service.conftest import LOADED
from tests.service.jobs.running_jobs import ANNA, BEN, finished, results, scored_item


async def test_pages_of_results_join_to_all_results(start):
    jobs = await start(max_running_job_items=1)
    sent = await jobs.submit(encode_manifest(scored_item(n) for n in range(20, 30)), ANNA)
    after, lines = 0, []
    while len(lines) < 10:
        for result in await results(jobs, sent.id, after=after, limit=3):
            assert result.number == after + 1
            after = result.number
            lines.append(result.line)
    assert lines == list(range(1, 11)), "one at a time is scored, in the manifest's order"
    assert await results(jobs, sent.id, after=10) == []
    for limit in (0, 1001):
        with pytest.raises(InvalidRequest, match="limit must be 1 to 1000"):
            await jobs.results(sent.id, ANNA, limit=limit)


async def test_the_job_of_another_client_is_not_found(start):
    jobs = await start()
    sent = await jobs.submit(encode_manifest([scored_item(20)]), ANNA)
    for method in (jobs.info, jobs.results, jobs.cancel):
        with pytest.raises(NotFound, match="no such job of yours"):
            await method(sent.id, BEN)
    assert (await jobs.list(BEN)).jobs == []
    admin = replace(BEN, admin=True)
    assert [job.id for job in (await jobs.list(admin)).jobs] == [sent.id]
    assert (await jobs.info(sent.id, admin)).id == sent.id


async def test_jobs_are_listed_in_pages(start):
    jobs = await start()
    ids = [(await jobs.submit(encode_manifest([scored_item(n)]), ANNA)).id for n in range(20, 25)]
    first = await jobs.list(ANNA, limit=3)
    rest = await jobs.list(ANNA, after=first.next, limit=3)
    assert [job.id for job in [*first.jobs, *rest.jobs]] == ids[::-1]
    assert rest.next is None


async def test_a_repeated_idempotency_key_is_the_same_job(start):
    jobs = await start()
    call = Call(client="anna", idempotency_key="k")
    sent = [await jobs.submit(encode_manifest([scored_item(20)]), call) for _ in range(2)]
    assert sent[0].id == sent[1].id
    await finished(jobs, sent[0].id)
    assert (await jobs.submit(encode_manifest([scored_item(20)]), call)).state == "done"
    assert len((await jobs.list(ANNA)).jobs) == 1
    assert json.loads((await jobs.results(sent[0].id, ANNA)).splitlines()[0])["number"] == 1


async def test_metrics_count_items(start):
    jobs = await start()
    metrics: Metrics = jobs._runner._metrics
    LOADED[-1].open.clear()
    sent = await jobs.submit(encode_manifest([scored_item(20), scored_item(7)]), ANNA)
    assert b"identity_reward_job_items_waiting 2.0" in metrics.text()
    LOADED[-1].open.set()
    await finished(jobs, sent.id)
    text = metrics.text().decode()
    assert "identity_reward_job_items_waiting 0.0" in text
    assert 'identity_reward_job_items_total{outcome="scored"} 1.0' in text
    assert 'identity_reward_job_items_total{outcome="failed"} 1.0' in text
