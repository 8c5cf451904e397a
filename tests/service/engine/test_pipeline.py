import asyncio
import time

import pytest

import service.engine.preparation
from identity_reward_client.errors import (
    DeadlineExceeded,
    InvalidMedia,
    Overloaded,
    RateLimited,
    ReferenceWithoutFace,
)
from identity_reward_client.messages import GroupRequest, Image, ScoreRequest
from service.scheduling.call import Call
from tests.support.waiting import until


async def test_an_error_of_the_references_fails_the_request(engine, reference, video):
    with pytest.raises(ReferenceWithoutFace) as caught:
        await engine.score_group(GroupRequest(references=[reference(0)], videos=[video(1), video(2)]))
    assert caught.value.details == {"reference": 0}
    with pytest.raises(InvalidMedia, match="reference 1"):
        await engine.score(ScoreRequest(references=[reference(), Image(data=b"x")], video=video(1)))


async def test_equal_videos_of_a_request_are_decoded_and_scored_once(engine, reference, video, monkeypatch):
    decoded = []
    true_decode = service.engine.preparation.decode_video
    monkeypatch.setattr(
        service.engine.preparation,
        "decode_video",
        lambda video, *rest: decoded.append(video) or true_decode(video, *rest),
    )
    videos = [video(51), video(102), video(51), video(51, fps=4)]
    response = await engine.score_group(GroupRequest(references=[reference()], videos=videos))
    assert len(decoded) == 3
    assert [item.reward for item in response.items] == [0.2, 0.4, 0.2, 0.2]
    assert [item.scored.fps for item in response.items] == [8, 8, 8, 4]


async def test_overload_is_raised_before_anything_is_decoded(make_engine, reference, video, monkeypatch):
    engine = make_engine(max_group_videos=2, max_waiting_tokens=2)
    admission = engine._models.find(None).admission
    monkeypatch.setattr(service.engine.preparation, "decode_video", lambda *_: pytest.fail("decoded"))
    with admission.admit(Call(), 2):
        with pytest.raises(Overloaded) as caught:
            await engine.score(ScoreRequest(references=[reference()], video=video(1)))
        with pytest.raises(Overloaded):
            engine.check_capacity(Call())
    assert caught.value.retry_after_s >= 1
    assert admission.tokens == 0
    engine.check_capacity(Call())


async def test_concurrent_requests_get_their_own_rewards(engine, reference, video):
    requests = [ScoreRequest(references=[reference()], video=video(value)) for value in range(20, 60)]
    responses = await asyncio.gather(*(engine.score(request) for request in requests))
    assert [response.reward for response in responses] == [value / 255 for value in range(20, 60)]


async def test_a_cancelled_request_releases_its_capacity(engine, reference, video):
    scorer, admission = engine._models.find(None).scorer, engine._models.find(None).admission
    scorer.open.clear()
    tasks = [
        asyncio.create_task(engine.score(ScoreRequest(references=[reference()], video=video(value))))
        for value in (1, 2)
    ]
    await until(lambda: admission.tokens == 2)
    tasks[1].cancel()
    await asyncio.gather(tasks[1], return_exceptions=True)
    assert admission.tokens == 1
    scorer.open.set()
    assert (await tasks[0]).reward == 1 / 255


async def test_a_call_after_its_deadline_is_not_scored(engine, reference, video):
    model = engine._models.find(None)
    with pytest.raises(Overloaded), model.admission.admit(Call(), 1):
        await engine.score(ScoreRequest(references=[reference()], video=video(51)), Call(deadline=time.monotonic() - 1))
    with pytest.raises(DeadlineExceeded):
        await engine.score(ScoreRequest(references=[reference()], video=video(52)), Call(deadline=time.monotonic() - 1))
    assert not model.scorer.batches


async def test_rate_limits_are_per_client(make_engine, reference, video):
    engine = make_engine(client_videos_per_s=0.1, client_burst_videos=2)
    request = GroupRequest(references=[reference()], videos=[video(51), video(52)])
    await engine.score_group(request, Call(client="a"))
    with pytest.raises(RateLimited) as caught:
        await engine.score_group(request, Call(client="a"))
    assert caught.value.retry_after_s == 20
    await engine.score_group(request, Call(client="b"))
