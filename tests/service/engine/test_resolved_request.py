import asyncio

import pytest

from identity_reward_client.errors import (
    Conflict,
    DeadlineExceeded,
    InvalidRequest,
    ReferenceSetNotFound,
)
from identity_reward_client.messages import CompareRequest, GroupRequest, ReferenceSet, ScoreRequest, Video
from service.scheduling.call import Call
from tests.service.scheduling.tasks import FakeClock
from tests.support.waiting import until


async def test_stored_references_replace_the_images(engine, reference, video):
    stored = await engine.put_references(ReferenceSet(images=[reference(), reference(9)]))
    assert stored.num_references == 2
    assert (await engine.score(ScoreRequest(references=stored.id, video=video(51)))).reward == 0.2
    with pytest.raises(ReferenceSetNotFound):
        await engine.score(ScoreRequest(references="sha256:" + "0" * 64, video=video(51)))


async def test_the_same_reference_twice_is_refused_by_every_call(engine, reference, video):
    same = [reference(9), reference(9)]
    for call in (
        engine.score(ScoreRequest(references=same, video=video(51))),
        engine.score_group(GroupRequest(references=same, videos=[video(51), video(52)])),
        engine.compare(CompareRequest(references=same, video_a=video(51), video_b=video(52))),
        engine.put_references(ReferenceSet(images=same)),
    ):
        with pytest.raises(InvalidRequest, match="references 0 and 1 are the same image"):
            await call


async def test_an_idempotency_key_is_computed_once_and_conflicts_with_other_content(make_engine, reference, video):
    engine = make_engine(result_cache_entries=0)
    request = GroupRequest(references=[reference()], videos=[video(51), video(102)])
    calls = [engine.score_group(request, Call(f"r{n}", idempotency_key="k")) for n in range(3)]
    responses = await asyncio.gather(*calls)
    assert [response.request_id for response in responses] == ["r0"] * 3
    assert len(engine._models.find(None).scorer.batches) == 1
    with pytest.raises(Conflict):
        await engine.score_group(request.model_copy(update={"theta": 3.0}), Call(idempotency_key="k"))
    with pytest.raises(Conflict):
        await engine.score(ScoreRequest(references=[reference()], video=video(51)), Call(idempotency_key="k"))
    await engine.score_group(request, Call(client="another", idempotency_key="k"))
    assert len(engine._models.find(None).scorer.batches) == 2


async def test_an_idempotency_key_identifies_links_by_their_text(make_engine, reference, video, tmp_path):
    engine = make_engine(path_roots=(str(tmp_path),))
    clip = tmp_path / "clip.mp4"
    request = GroupRequest(references=[reference()], videos=[video(51), Video(path=str(clip))])
    call = Call(idempotency_key="k")
    first = await engine.score_group(request, call)
    assert first.items[1].error.code == "input_refused"
    clip.write_bytes(b"it is there now")
    assert await engine.score_group(request, call) == first
    other = request.model_copy(update={"videos": [video(51), Video(path=str(tmp_path / "other.mp4"))]})
    with pytest.raises(Conflict):
        await engine.score_group(other, call)


async def test_a_call_that_joins_another_keeps_its_own_deadline(make_engine, reference, video, monkeypatch):
    clock = FakeClock(monkeypatch, "service.scheduling.call")
    engine = make_engine(result_cache_entries=0)
    model = engine._models.find(None)
    model.scorer.open.clear()
    first = asyncio.create_task(engine.score(ScoreRequest(references=[reference()], video=video(51))))
    await until(lambda: model.admission.tokens == 1 and not model.scheduler.num_tasks)
    request = ScoreRequest(references=[reference()], video=video(102))
    calls = [
        asyncio.create_task(engine.score(request, Call(deadline=clock.now + seconds, idempotency_key="k")))
        for seconds in (10, 1000)
    ]
    await until(lambda: [entry.num_waiting for entry in engine._idempotency._entries.values()] == [2])
    await until(lambda: model.admission.tokens == 2)
    clock.now += 20
    model.scorer.open.set()
    with pytest.raises(DeadlineExceeded):
        await calls[0]
    assert (await calls[1]).reward == pytest.approx(102 / 255)
    await first
